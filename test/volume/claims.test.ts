import { spawn } from "node:child_process";
import {
  chmod,
  chown,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { keyOf } from "../../src/desired.ts";
import { formatProblem, type PersistentVolumeClaim, parseManifestText } from "../../src/manifest/index.ts";
import { exec } from "../../src/system/exec.ts";
import { volumeEntries } from "../../src/volume/claim/entries.ts";
import { shrinkProblems } from "../../src/volume/claim/shrink.ts";
import type { ClaimNote, VolumeManager, WantedClaims } from "../../src/volume/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import {
  DELETE_AFTER_MS,
  lookupOf,
  makeClaim,
  makeConfigMap,
  makeRoot,
  mountsBelow,
  openManager,
  podWith,
  removeRoot,
  signal,
} from "./fixtures.ts";

let root: string;
let manager: VolumeManager;
let clock: ManualClock;
const [A, B] = ["aaaaaaaa-1111-4222-8333-444455556666", "bbbbbbbb-1111-4222-8333-444455556666"] as const;

beforeEach(async () => {
  root = await makeRoot();
  clock = new ManualClock();
  manager = openManager(root, { clock });
});
afterEach(() => removeRoot(root));

const mounting = podWith([{ name: "v", persistentVolumeClaim: { claimName: "data" } }]);

async function mount(uid: string, claim = makeClaim("data", "16Mi")) {
  const [volume] = await manager.prepare(mounting, uid, lookupOf(claim), signal);
  if (volume === undefined) throw new Error("nothing was prepared");
  return volume;
}

function wanting(...claims: readonly PersistentVolumeClaim[]): WantedClaims {
  return { claims: new Map(claims.map((claim) => [keyOf(claim), claim])), doubt: undefined };
}

/** What is told when these claims, and no others, are there. */
async function round(...claims: readonly PersistentVolumeClaim[]): Promise<readonly ClaimNote[]> {
  return (await manager.claims.reconcile(wanting(...claims), signal)).notes;
}

describe("a claim", () => {
  test("is a file system of its size, whose data outlives pods, daemons and reboots", async () => {
    const { hostPath, kind } = await mount(A);
    expect(kind).toBe("claim");
    expect(await readdir(hostPath)).toEqual([]);
    expect((await stat(hostPath)).mode & 0o7777).toBe(0o777);
    expect((await manager.claims.list())[0]?.onDiskBytes).toBeLessThan(8 << 20);
    await writeFile(join(hostPath, "kept"), "data");
    await expect(writeFile(join(hostPath, "big"), Buffer.alloc(20 << 20))).rejects.toThrow("ENOSPC");
    await rm(join(hostPath, "big"));
    const [volume] = await manager.claims.list();
    expect(volume).toMatchObject({
      namespace: "default",
      name: "data",
      capacityBytes: 16 << 20,
      reclaimPolicy: "Retain",
      pods: ["default/web"],
      mountedAt: hostPath,
    });

    manager = openManager(root);
    expect((await mount(A)).hostPath).toBe(hostPath);
    expect(await mountsBelow(root)).toEqual([hostPath]);
    await removeMounts();
    expect(await readFile(join((await mount(A)).hostPath, "kept"), "utf8")).toBe("data");
    expect(await manager.list()).toEqual([A]);
    await manager.remove(A, signal);
    expect(await mountsBelow(root)).toEqual([]);
    expect(await manager.list()).toEqual([]);
    expect(await readFile(join((await mount(B)).hostPath, "kept"), "utf8")).toBe("data");
  });

  /** As a reboot does. */
  async function removeMounts(): Promise<void> {
    const { unmount } = await import("../../src/system/mounts.ts");
    for (const path of await mountsBelow(root)) await unmount(path);
  }

  test("that is not there is waited for in the words of Kubernetes", async () => {
    await expect(manager.prepare(mounting, A, lookupOf(), signal)).rejects.toMatchObject({
      code: "config-missing",
      message: 'persistentvolumeclaim "data" not found',
    });
  });

  test("is shared by the pods of the node, but one for a single pod is not", async () => {
    expect((await mount(A)).hostPath).toBe((await mount(B)).hostPath);
    await manager.remove(A, signal);
    expect(await mountsBelow(root)).toHaveLength(1);
    await manager.remove(B, signal);
    expect(await mountsBelow(root)).toEqual([]);

    const alone = makeClaim("data", "16Mi", { accessModes: ["ReadWriteOncePod"] });
    await mount(A, alone);
    await expect(mount(B, alone)).rejects.toMatchObject({
      code: "conflict",
      message: expect.stringContaining("ReadWriteOncePod"),
    });
    await mount(A, alone);
    manager = openManager(root, { clock, hasEnded: (uid) => uid === A });
    await mount(B, alone);
    await manager.remove(A, signal);
    expect(await mountsBelow(root)).toHaveLength(1);
  });

  test("that lets nobody write is read-only", async () => {
    expect(await mount(A, makeClaim("data", "16Mi", { accessModes: ["ReadOnlyMany"] }))).toMatchObject({
      readOnly: true,
    });
  });

  test("grows while it is mounted and while it is not, and never shrinks", async () => {
    const { hostPath } = await mount(A);
    await writeFile(join(hostPath, "kept"), "data");
    const room = async () => {
      const { blocks, bsize } = await statfs(hostPath);
      return (blocks * bsize) >> 20;
    };
    const follow = (storage: string) => round(makeClaim("data", storage));
    expect(await follow("16Mi")).toEqual([]);
    // Without that capability the kernel does it only while it is not mounted.
    const capabilities = /CapEff:\t(\w+)/.exec(await readFile("/proc/self/status", "utf8"))?.[1] ?? "0";
    const online = (BigInt(`0x${capabilities}`) >> 24n) % 2n === 1n;
    const reason = online ? "FileSystemResizeSuccessful" : "FileSystemResizePending";
    expect(await follow("32Mi")).toMatchObject([{ reason }]);
    expect((await room()) > 20).toBe(online);
    expect(await manager.claims.list()).toMatchObject([{ capacityBytes: (online ? 32 : 16) << 20 }]);
    await manager.remove(A, signal);
    await follow("64Mi");
    await mount(B, makeClaim("data", "64Mi"));
    expect(await room()).toBeGreaterThan(45);
    const small = makeClaim("data", "8Mi");
    await mount(A, small);
    await follow("8Mi");
    const [volume] = volumeEntries(await manager.claims.list(), wanting(small), 2 ** 40);
    expect(volume).toMatchObject({ capacityBytes: 64 << 20, problem: expect.stringContaining("smaller") });
    expect(await readFile(join(hostPath, "kept"), "utf8")).toBe("data");
  });

  test("whose growth a crash cut short grows the next time", async () => {
    const { hostPath } = await mount(A);
    await manager.remove(A, signal);
    await truncate(imageOf(), 64 << 20);
    expect(await manager.claims.list()).toMatchObject([{ capacityBytes: 16 << 20 }]);
    await mount(A, makeClaim("data", "64Mi"));
    const { blocks, bsize } = await statfs(hostPath);
    expect((blocks * bsize) >> 20).toBeGreaterThan(45);
    expect(await manager.claims.list()).toMatchObject([{ capacityBytes: 64 << 20 }]);
  });

  test("that is still mounted in somebody's mount namespace is neither mended nor mounted a second time", async () => {
    const { hostPath } = await mount(A);
    await writeFile(join(hostPath, "kept"), "data");
    const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", "echo on; exec cat"]);
    try {
      await new Promise((resolve) => holder.stdout.once("data", resolve));
      await writeFile(join(hostPath, "kept"), "newer");
      await manager.remove(A, signal);
      expect(await mountsBelow(root)).toEqual([]);
      await mount(B, makeClaim("data", "32Mi"));
      expect(await readFile(join(hostPath, "kept"), "utf8")).toBe("newer");
      const { stdout } = await exec("losetup", ["--noheadings", "--output", "NAME", "--associated", imageOf()]);
      expect(stdout.trim().split("\n")).toHaveLength(1);
    } finally {
      holder.kill("SIGKILL");
      await new Promise((resolve) => holder.once("close", resolve));
    }
  });

  test("that another mount namespace lets go of in a moment, as one of a container that starts does, grows then", async () => {
    const { hostPath } = await mount(A);
    const script = 'echo on; read go; exec umount -l "$0"';
    const holder = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script, hostPath]);
    await new Promise((resolve) => holder.stdout.once("data", resolve));
    await manager.remove(A, signal);
    const growing = mount(B, makeClaim("data", "32Mi"));
    holder.stdin.end("go\n");
    await growing;
    const { bsize, blocks } = await statfs(hostPath);
    expect(bsize * blocks).toBeGreaterThan(24 << 20);
  });

  const imageOf = () => join(root, "gantry/lib/volumes/default/data/data.ext4");

  test("that nobody writes any more is kept for ever, by the policy Retain", async () => {
    await mount(A);
    expect(await round()).toEqual([]);
    await manager.remove(A, signal);
    clock.advance(1e12);
    expect(await round()).toEqual([]);
    expect(volumeEntries(await manager.claims.list(), wanting(), 2 ** 40)).toMatchObject([
      { phase: "Released", deletesAt: undefined },
    ]);
  });

  test("goes by the policy Delete only after a while, which a restart does not forget, and never by an accident", async () => {
    const passing = makeClaim("data", "16Mi", {}, { "gantry.dev/reclaim-policy": "Delete" });
    await mount(A, passing);
    await manager.remove(A, signal);
    const doubtful = () => manager.claims.reconcile({ ...wanting(), doubt: "a file can't be read" }, signal);
    clock.advance(10 * DELETE_AFTER_MS);
    expect(await doubtful()).toEqual({ notes: [], lookAt: undefined });
    const entries = async (doubt?: string) =>
      volumeEntries(await manager.claims.list(), { ...wanting(), doubt }, 2 ** 40);
    expect(await entries("a file can't be read")).toMatchObject([
      { deletesAt: undefined, problem: "it is kept for now: a file can't be read" },
    ]);

    const due = clock.now() + DELETE_AFTER_MS;
    const { notes, lookAt } = await manager.claims.reconcile(wanting(), signal);
    expect([notes, lookAt]).toEqual([[expect.objectContaining({ reason: "VolumeReleased" })], due]);
    expect(await entries()).toMatchObject([{ phase: "Released", deletesAt: due, problem: undefined }]);
    clock.advance(DELETE_AFTER_MS / 2);
    manager = openManager(root, { clock });
    expect((await manager.claims.reconcile(wanting(), signal)).lookAt).toBe(due);
    expect(await round(passing)).toEqual([]); // it was a mistake
    clock.advance(DELETE_AFTER_MS);
    expect(await round()).toMatchObject([{ reason: "VolumeReleased" }]);

    await mount(A, passing); // as a pod has it that was started before
    await round();
    clock.advance(DELETE_AFTER_MS);
    expect(await round()).toEqual([]);
    await manager.remove(A, signal);
    expect((await doubtful()).notes).toEqual([]);
    expect(await round()).toMatchObject([{ reason: "VolumeDeleted" }]);
    expect(await manager.claims.list()).toEqual([]);

    await mount(A, makeClaim("data", "16Mi", { storageClassName: "gantry-delete" }));
    expect(await manager.claims.list()).toMatchObject([{ reclaimPolicy: "Delete" }]);
  });

  test("of more than the disk has is told, in numbers that people read, and leaves nothing", async () => {
    const huge = makeClaim("data", "900Pi");
    await expect(mount(A, huge)).rejects.toMatchObject({
      code: "disk-full",
      message: expect.stringMatching(
        /^PersistentVolumeClaim "data": 900 PiB are asked for, and only [\d.]+ [GMT]iB are free on the disk$/,
      ),
      details: { claim: "data" },
    });
    expect(await manager.list()).toEqual([]);
    const pending = async (claim: typeof huge) =>
      volumeEntries(await manager.claims.list(), wanting(claim), await manager.claims.room());
    expect(await pending(huge)).toMatchObject([{ phase: "Pending", problem: expect.stringContaining("are free") }]);
    expect(await pending(makeClaim("data", "16Mi"))).toMatchObject([{ problem: undefined }]);
    await mount(A);
    await mount(A, huge); // it goes on with what it has
    expect(await pending(huge)).toMatchObject([{ phase: "Bound", problem: expect.stringContaining("can't grow") }]);
    expect(await round(huge)).toMatchObject([{ type: "Warning", message: expect.stringContaining("are free") }]);
    expect(await manager.claims.list()).toMatchObject([{ capacityBytes: 16 << 20 }]);
  });

  test("that is smaller than its volume is refused with its place", async () => {
    await mount(A, makeClaim("data", "64Mi"));
    const text = (storage: string) =>
      `apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: data}\nspec:\n  accessModes: [ReadWriteOnce]\n  resources:\n    requests:\n      storage: ${storage}\n`;
    const problems = async (storage: string) =>
      shrinkProblems(parseManifestText("data.yaml", text(storage)).objects, await manager.claims.list());
    expect((await problems("16Mi")).map(formatProblem)).toEqual([
      "data.yaml:8:16: error: spec.resources.requests.storage: 16.0 MiB are asked for, and a volume can't be made smaller: it keeps its 64.0 MiB (Ask for 64Mi or more. For a smaller volume without its data, take the claim out, run 'gantry volume rm default/data', and put it back.)",
    ]);
    expect(await problems("64Mi")).toEqual([]);
  });

  test("is removed when it is asked for, but never from under a pod", async () => {
    await mount(A);
    const remove = () => manager.claims.remove("default", "data", signal);
    await expect(remove()).rejects.toMatchObject({ code: "conflict" });
    await manager.remove(A, signal);
    await remove();
    await expect(remove()).rejects.toMatchObject({ code: "not-found" });
    expect(await readdir(join(root, "gantry/lib/volumes"))).toEqual([]);
  });

  test("with a damaged file system says so and mounts nothing", async () => {
    const { hostPath } = await mount(A);
    await writeFile(join(hostPath, "kept"), "data");
    await manager.remove(A, signal);
    const [volume] = await manager.claims.list();
    const file = await open(volume?.file ?? "", "r+");
    await file.write(Buffer.alloc(4096, 0x5a), 0, 4096, 0).finally(() => file.close());
    await expect(mount(B)).rejects.toMatchObject({
      code: "volume-failed",
      message: expect.stringContaining("damaged"),
      hint: expect.stringContaining("e2fsck"),
    });
    expect(await mountsBelow(root)).toEqual([]);
    expect(await manager.claims.list()).toHaveLength(1);
  });

  test("whose data is missing is never begun anew in silence", async () => {
    const { hostPath } = await mount(A);
    await writeFile(join(hostPath, "kept"), "data");
    await manager.remove(A, signal);
    await rename(imageOf(), join(root, "elsewhere"));
    const lost = {
      code: "volume-failed",
      message: expect.stringContaining(`"data": its data is gone: ${imageOf()} is missing`),
      hint: expect.stringContaining("gantry volume rm default/data"),
    };
    await expect(mount(B)).rejects.toMatchObject(lost);
    expect(volumeEntries(await manager.claims.list(), wanting(makeClaim("data", "16Mi")), 2 ** 40)).toMatchObject([
      { phase: "Lost", capacityBytes: 16 << 20, problem: expect.stringContaining("is missing") },
    ]);
    expect(await round(makeClaim("data", "16Mi"))).toMatchObject([{ reason: "VolumeLost" }]);
    await writeFile(imageOf(), "");
    await expect(mount(B)).rejects.toMatchObject(lost);
    await rename(join(root, "elsewhere"), imageOf());
    await truncate(imageOf(), 4 << 20);
    await expect(mount(B)).rejects.toMatchObject({
      message: expect.stringContaining("a part of its data is gone"),
    });
    await rm(imageOf());
    await writeFile(join(dirname(imageOf()), "volume.json"), "{");
    await expect(mount(B)).rejects.toMatchObject(lost);
    await manager.claims.remove("default", "data", signal);
    expect(await readdir((await mount(B)).hostPath)).toEqual([]);
  });

  test("that a crash kept from being made is made the next time, open to all", async () => {
    await mkdir(join(root, "gantry/lib/volumes/default/data"), { recursive: true });
    const record = { namespace: "default", name: "data", accessModes: [], reclaimPolicy: "Retain", createdAt: 1 };
    await writeFile(join(dirname(imageOf()), "volume.json"), JSON.stringify({ ...record, bytes: 1, used: false }));
    expect(await manager.claims.list()).toEqual([]);
    expect((await stat((await mount(A)).hostPath)).mode & 0o7777).toBe(0o777);
  });

  test("is not written to any more once its file system found an error", async () => {
    const { hostPath } = await mount(A);
    const { stdout } = await exec("findmnt", ["--noheadings", "--output", "OPTIONS", hostPath]);
    expect(stdout).toContain("errors=remount-ro");
    await exec("mount", ["-o", "remount,ro", hostPath]); // what the kernel does then
    expect(volumeEntries(await manager.claims.list(), wanting(makeClaim("data", "16Mi")), 2 ** 40)).toMatchObject([
      { problem: expect.stringContaining("lets nobody write") },
    ]);
  });

  test("whose record is lost is kept with its data", async () => {
    await chmod((await mount(A)).hostPath, 0o700);
    await manager.remove(A, signal);
    await writeFile(join(root, "gantry/lib/volumes/default/data/volume.json"), "{");
    await mkdir(join(root, "gantry/lib/volumes/default/stray"));
    expect(await manager.claims.list()).toMatchObject([{ name: "data", reclaimPolicy: "Retain" }]);
    await round();
    expect(await manager.claims.list()).toHaveLength(1);
    expect((await stat((await mount(B)).hostPath)).mode & 0o7777).toBe(0o700);
  });
});

test("an ephemeral claim goes with its pod", async () => {
  const spec = { accessModes: ["ReadWriteOnce"], resources: { requests: { storage: "8Mi" } } };
  const pod = podWith([{ name: "v", ephemeral: { volumeClaimTemplate: { spec } } }]);
  const [volume] = await manager.prepare(pod, A, lookupOf(), signal);
  const path = volume?.hostPath ?? "";
  await expect(writeFile(join(path, "big"), Buffer.alloc(10 << 20))).rejects.toThrow("ENOSPC");
  await manager.prepare(pod, A, lookupOf(), signal);
  expect(await mountsBelow(root)).toEqual([path]);
  const image = join(dirname(path), "data.ext4");
  await rename(image, join(root, "elsewhere"));
  await expect(manager.prepare(pod, A, lookupOf(), signal)).rejects.toThrow("its data is gone");
  await manager.remove(A, signal);
  expect(await mountsBelow(root)).toEqual([]);
  await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });
});

describe("fsGroup", () => {
  const grouped = (volumes: readonly object[], policy?: "OnRootMismatch") => {
    const pod = podWith(volumes);
    const securityContext = {
      ...pod.spec.securityContext,
      fsGroup: 2345,
      ...(policy === undefined ? {} : { fsGroupChangePolicy: policy }),
    } as const;
    return { ...pod, spec: { ...pod.spec, securityContext } };
  };
  const ownership = async (path: string) => {
    const { gid, mode } = await stat(path);
    return [gid, mode & 0o7777];
  };

  test("owns an emptyDir, and may read what is made from manifests", async () => {
    const volumes = [
      { name: "e", emptyDir: {} },
      { name: "c", configMap: { name: "c", defaultMode: 0o400 } },
    ];
    const config = makeConfigMap("c", { key: "one" });
    const prepare = () => manager.prepare(grouped(volumes), A, lookupOf(config), signal);
    const [empty, files] = await prepare();
    expect(empty).toMatchObject({ gid: 2345 });
    expect(await ownership(empty?.hostPath ?? "")).toEqual([2345, 0o2777]);
    const key = join(files?.hostPath ?? "", "key");
    expect(await ownership(key)).toEqual([2345, 0o440]);
    const version = await readlink(join(files?.hostPath ?? "", "..data"));
    await prepare();
    expect(await readlink(join(files?.hostPath ?? "", "..data"))).toBe(version);
    await manager.refresh(grouped(volumes), A, lookupOf(makeConfigMap("c", { key: "two" })), signal);
    expect(await ownership(key)).toEqual([2345, 0o440]);
  });

  test("gets all of a claim, once or always; links are left alone", async () => {
    const claimed = [{ name: "v", persistentVolumeClaim: { claimName: "data" } }];
    const { hostPath } = await mount(A);
    await mkdir(join(hostPath, "dir"), { mode: 0o700 });
    await writeFile(join(hostPath, "dir/file"), "x", { mode: 0o600 });
    await writeFile(join(root, "outside"), "x", { mode: 0o600 });
    await symlink(join(root, "outside"), join(hostPath, "dir/link"));
    const prepare = (policy?: "OnRootMismatch") =>
      manager.prepare(grouped(claimed, policy), A, lookupOf(makeClaim("data", "16Mi")), signal);
    await prepare("OnRootMismatch");
    expect(await ownership(hostPath)).toEqual([2345, 0o2777]);
    expect(await ownership(join(hostPath, "dir"))).toEqual([2345, 0o2770]);
    expect(await ownership(join(hostPath, "dir/file"))).toEqual([2345, 0o660]);
    expect(await ownership(join(root, "outside"))).toEqual([process.getgid?.(), 0o600]);

    await chown(join(hostPath, "dir/file"), 0, 7);
    await prepare("OnRootMismatch");
    expect((await ownership(join(hostPath, "dir/file")))[0]).toBe(7);
    await prepare();
    expect((await ownership(join(hostPath, "dir/file")))[0]).toBe(2345);
  });
});
