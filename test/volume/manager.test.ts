import { spawn } from "node:child_process";
import { chmod, mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { exec } from "../../src/system/exec.ts";
import type { VolumeManager } from "../../src/volume/index.ts";
import {
  lookupOf,
  makeConfigMap,
  makeRoot,
  makeSecret,
  mountsBelow,
  openManager,
  podWith,
  removeRoot,
  signal,
} from "./fixtures.ts";

let root: string;
let manager: VolumeManager;
const nothing = lookupOf();
const UID = "0d9a8b5c-1111-4222-8333-444455556666";

beforeEach(async () => {
  root = await makeRoot();
  manager = openManager(root);
});
afterEach(() => removeRoot(root));

async function prepareOne(volume: object, limits?: Readonly<Record<string, string>>, lookup = nothing) {
  const [prepared] = await manager.prepare(podWith([{ name: "v", ...volume }], limits), UID, lookup, signal);
  if (prepared === undefined) throw new Error("nothing was prepared");
  return prepared;
}
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o7777;

describe("emptyDir", () => {
  test("is open to every user, and keeps its content and what an app made of its mode", async () => {
    const volume = await prepareOne({ emptyDir: { sizeLimit: "1Mi" } });
    expect(volume).toMatchObject({ name: "v", kind: "emptyDir", sizeLimitBytes: 1 << 20 });
    expect(await modeOf(volume.hostPath)).toBe(0o777);
    await writeFile(join(volume.hostPath, "kept"), "x");
    await chmod(volume.hostPath, 0o700);
    manager = openManager(root);
    expect(await prepareOne({ emptyDir: { sizeLimit: "1Mi" } })).toEqual(volume);
    expect(await readdir(volume.hostPath)).toEqual(["kept"]);
    expect(await modeOf(volume.hostPath)).toBe(0o700);
  });

  test.each<[string, object, Record<string, string> | undefined, number | undefined]>([
    ["its sizeLimit", { sizeLimit: "1Mi" }, undefined, 1 << 20],
    ["the containers' memory", {}, { memory: "2Mi" }, 2 << 20],
    ["the smaller of both", { sizeLimit: "4Mi" }, { memory: "2Mi" }, 2 << 20],
  ])("in memory is a tmpfs of the size of %s", async (_, source, limits, size) => {
    const volume = await prepareOne({ emptyDir: { medium: "Memory", ...source } }, limits);
    expect(volume).toMatchObject({ medium: "Memory", sizeLimitBytes: size });
    expect(
      (await exec("findmnt", ["--noheadings", "--bytes", "--output", "FSTYPE,SIZE", volume.hostPath])).stdout
        .trim()
        .split(/\s+/),
    ).toEqual(["tmpfs", String(size)]);
    expect(await modeOf(volume.hostPath)).toBe(0o777);
    await expect(writeFile(join(volume.hostPath, "big"), Buffer.alloc(8 << 20))).rejects.toThrow("ENOSPC");
    await prepareOne({ emptyDir: { medium: "Memory", ...source } }, limits);
    expect(await mountsBelow(root)).toEqual([volume.hostPath]);
    // As after a reboot: the directory is there, the mount is not.
    await exec("umount", [volume.hostPath]);
    expect(await readdir((await prepareOne({ emptyDir: { medium: "Memory", ...source } }, limits)).hostPath)).toEqual(
      [],
    );
    expect(await mountsBelow(root)).toEqual([volume.hostPath]);
  });

  test("what it has on disk is told, or what is known of it elsewhere", async () => {
    const pod = podWith([
      { name: "here", emptyDir: { sizeLimit: "100Ki" } },
      { name: "there", emptyDir: {} },
    ]);
    const names = ["here", "there"];
    expect(await manager.usage(UID, names, "bytes")).toEqual({ here: 0, there: 0 });
    const [here] = await manager.prepare(pod, UID, nothing, signal);
    const before = (await manager.usage(UID, names, "bytes"))["here"] ?? 0;
    await writeFile(join(here?.hostPath ?? "", "x"), Buffer.alloc(200 << 10));
    const used = await manager.usage(UID, names, "bytes", new Map([["there", 7]]));
    expect(used["here"]).toBeGreaterThanOrEqual(before + (200 << 10));
    expect(used["there"]).toBe(7);
    expect(await manager.usage(UID, ["here"], "inodes")).toEqual({ here: 2 });
  });

  test("of another medium is refused", async () => {
    await expect(prepareOne({ emptyDir: { medium: "HugePages-2Mi" } })).rejects.toMatchObject({
      code: "volume-failed",
      message: expect.stringContaining("HugePages-2Mi"),
    });
  });
});

describe("hostPath", () => {
  test("each type takes what it names, and says what else it found", async () => {
    const at = (name: string): string => join(root, name);
    await mkdir(at("Directory"));
    await writeFile(at("File"), "");
    await symlink(at("File"), at("link"));
    const server = createServer();
    await new Promise<void>((done) => server.listen(at("Socket"), done));
    const paths: Record<string, string> = {
      Directory: at("Directory"),
      File: at("File"),
      Socket: at("Socket"),
      CharDevice: "/dev/null",
      BlockDevice: "/dev/loop0",
    };
    for (const [type, own] of Object.entries(paths)) {
      for (const [kind, path] of Object.entries(paths)) {
        const attempt = prepareOne({ hostPath: { path, type } });
        if (path === own) expect(await attempt).toMatchObject({ name: "v", kind: "hostPath", hostPath: path });
        else
          await expect(attempt, `${type} on ${kind}`).rejects.toMatchObject({
            code: "volume-failed",
            message: expect.stringContaining(`hostPath ${path} (type ${type}) is a`),
          });
      }
      await expect(prepareOne({ hostPath: { path: at("nowhere"), type } })).rejects.toMatchObject({
        code: "volume-failed",
        message: expect.stringContaining("does not exist"),
      });
      expect((await prepareOne({ hostPath: { path: own } })).hostPath).toBe(own);
    }
    expect((await prepareOne({ hostPath: { path: at("link"), type: "File" } })).hostPath).toBe(at("link"));
    await new Promise((done) => server.close(done));
  });

  test("it is known whether any container writes to it", async () => {
    const mounted = async (...readOnly: boolean[]): Promise<boolean | undefined> => {
      const pod = podWith([{ name: "v", hostPath: { path: root } }]);
      const [container] = pod.spec.containers;
      if (!container) throw new Error("no container");
      const containers = readOnly.map((each) => ({
        ...{ ...container, volumeMounts: [{ name: "v", mountPath: "/v", readOnly: each }] },
      }));
      const [volume] = await manager.prepare({ ...pod, spec: { ...pod.spec, containers } }, UID, nothing, signal);
      return volume?.readOnly;
    };
    expect(await mounted(true, true)).toBe(true);
    expect(await mounted(true, false)).toBeUndefined();
  });

  test("DirectoryOrCreate and FileOrCreate create, once", async () => {
    const dir = join(root, "a/b/c");
    await prepareOne({ hostPath: { path: dir, type: "DirectoryOrCreate" } });
    expect(await modeOf(dir)).toBe(0o755);
    const file = join(dir, "file");
    await prepareOne({ hostPath: { path: file, type: "FileOrCreate" } });
    expect(await modeOf(file)).toBe(0o644);
    await writeFile(file, "mine");
    await prepareOne({ hostPath: { path: file, type: "FileOrCreate" } });
    expect(await readFile(file, "utf8")).toBe("mine");
    await expect(prepareOne({ hostPath: { path: file, type: "DirectoryOrCreate" } })).rejects.toMatchObject({
      code: "volume-failed",
    });
    await expect(
      prepareOne({ hostPath: { path: join(root, "no/such/file"), type: "FileOrCreate" } }),
    ).rejects.toMatchObject({ code: "volume-failed", message: expect.stringContaining("cannot create") });
  });

  test.each(["relative/path", "/a/../b"])("the path %s is refused", async (path) => {
    await expect(prepareOne({ hostPath: { path, type: "DirectoryOrCreate" } })).rejects.toMatchObject({
      code: "volume-failed",
    });
  });

  test("is never touched by remove, nor is what links in other volumes point to", async () => {
    const dir = join(root, "precious");
    await mkdir(dir);
    await writeFile(join(dir, "file"), "x");
    const pod = podWith([
      { name: "host", hostPath: { path: dir } },
      { name: "scratch", emptyDir: {} },
    ]);
    const [, scratch] = await manager.prepare(pod, UID, nothing, signal);
    await symlink(dir, join(scratch?.hostPath ?? "", "link"));
    // What an app with mount propagation might leave behind.
    await mkdir(join(scratch?.hostPath ?? "", "mounted"));
    await exec("mount", ["--bind", dir, join(scratch?.hostPath ?? "", "mounted")]);
    await manager.remove(UID, signal);
    expect(await readdir(dir)).toEqual(["file"]);
    expect(await manager.list()).toEqual([]);
    expect(await mountsBelow(root)).toEqual([]);
  });
});

describe("configMap and secret", () => {
  const config = makeConfigMap(
    "settings",
    { "app.conf": "one", other: "ü" },
    { blob: Buffer.from([0, 255, 1]).toString("base64") },
  );
  const credentials = makeSecret("credentials", { password: "hunter2" });

  test("files with their content and modes", async () => {
    const lookup = lookupOf(config, credentials);
    const volume = await prepareOne({ configMap: { name: "settings" } }, undefined, lookup);
    expect(volume).toMatchObject({ kind: "configMap" });
    expect(await readFile(join(volume.hostPath, "app.conf"), "utf8")).toBe("one");
    expect(await readFile(join(volume.hostPath, "other"), "utf8")).toBe("ü");
    expect([...(await readFile(join(volume.hostPath, "blob")))]).toEqual([0, 255, 1]);
    expect(await modeOf(join(volume.hostPath, "other"))).toBe(0o644);
    const items = [
      { key: "app.conf", path: "deep/er/x.conf" },
      { key: "other", path: "o", mode: 0o400 },
    ];
    const [picked] = await manager.prepare(
      podWith([{ name: "p", configMap: { name: "settings", items, defaultMode: 0o440 } }]),
      UID,
      lookup,
      signal,
    );
    const at = picked?.hostPath ?? "";
    expect((await readdir(at)).filter((name) => !name.startsWith(".."))).toEqual(["deep", "o"]);
    expect([
      await modeOf(join(at, "deep/er/x.conf")),
      await modeOf(join(at, "o")),
      await modeOf(join(at, "deep/er")),
    ]).toEqual([0o440, 0o400, 0o755]);
  });

  test("secrets lie in memory only, in one mount that goes with the last of them", async () => {
    const pod = podWith([
      { name: "a", secret: { secretName: "credentials", defaultMode: 0o400 } },
      { name: "b", secret: { secretName: "credentials" } },
    ]);
    const [first] = await manager.prepare(pod, UID, lookupOf(credentials), signal);
    await manager.prepare(pod, "other", lookupOf(credentials), signal);
    const file = join(first?.hostPath ?? "", "password");
    expect(await readFile(file, "utf8")).toBe("hunter2");
    expect(await modeOf(file)).toBe(0o400);
    expect((await exec("stat", ["--file-system", "--format=%T", file])).stdout).toBe("tmpfs\n");
    expect(await mountsBelow(root)).toHaveLength(1);
    expect(await manager.list()).toEqual([UID, "other"]);
    await manager.remove(UID, signal);
    expect(await mountsBelow(root)).toHaveLength(1);
    await manager.remove("other", signal);
    expect(await mountsBelow(root)).toHaveLength(0);
    // As after a reboot.
    expect(
      await readFile(
        join((await manager.prepare(pod, UID, lookupOf(credentials), signal))[1]?.hostPath ?? "", "password"),
        "utf8",
      ),
    ).toBe("hunter2");
  });

  test("what is missing is named, unless it is optional", async () => {
    const attempt = (volume: object): Promise<unknown> => prepareOne(volume, undefined, lookupOf(config));
    await expect(attempt({ configMap: { name: "nope" } })).rejects.toMatchObject({
      code: "config-missing",
      message: "volume v: ConfigMap default/nope does not exist",
    });
    await expect(attempt({ secret: { secretName: "nope" } })).rejects.toMatchObject({
      code: "config-missing",
      message: "volume v: Secret default/nope does not exist",
    });
    await expect(
      attempt({ configMap: { name: "settings", items: [{ key: "nokey", path: "x" }] } }),
    ).rejects.toMatchObject({
      code: "config-missing",
      message: 'volume v: ConfigMap default/settings has no key "nokey"',
      hint: "Its keys are app.conf, blob, other.",
    });
    const volume = await prepareOne(
      {
        configMap: {
          name: "settings",
          optional: true,
          items: [
            { key: "nokey", path: "x" },
            { key: "other", path: "y" },
          ],
        },
      },
      undefined,
      lookupOf(config),
    );
    expect((await readdir(volume.hostPath)).filter((name) => !name.startsWith(".."))).toEqual(["y"]);
    const [empty] = await manager.prepare(
      podWith([{ name: "e", secret: { secretName: "nope", optional: true } }]),
      UID,
      nothing,
      signal,
    );
    expect((await readdir(empty?.hostPath ?? "")).filter((name) => !name.startsWith(".."))).toEqual([]);
  });

  test.each([
    [
      "twice the same path",
      [
        { key: "other", path: "a" },
        { key: "app.conf", path: "./a" },
      ],
    ],
    [
      "a file where a directory must be",
      [
        { key: "other", path: "a" },
        { key: "app.conf", path: "a/b" },
      ],
    ],
    ["a path that begins with ..", [{ key: "other", path: "..data/x" }]],
    ["a path of nothing", [{ key: "other", path: "./." }]],
    ["a file name of 300 characters", [{ key: "other", path: "x".repeat(300) }]],
  ])("%s is refused", async (_, items) => {
    await expect(
      prepareOne({ configMap: { name: "settings", items } }, undefined, lookupOf(config)),
    ).rejects.toMatchObject({ code: "volume-failed", message: expect.stringContaining("can't be used") });
  });

  test("refresh follows changes, and keeps what is missing now", async () => {
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    await manager.refresh(pod, UID, lookupOf(config), signal);
    expect(await manager.list()).toEqual([]);
    const [volume] = await manager.prepare(pod, UID, lookupOf(config), signal);
    const at = volume?.hostPath ?? "";
    const version = await readdir(at);
    await manager.refresh(pod, UID, lookupOf(config), signal);
    expect(await readdir(at)).toEqual(version);
    await manager.refresh(pod, UID, lookupOf(makeConfigMap("settings", { "app.conf": "two", fresh: "f" })), signal);
    expect((await readdir(at)).filter((name) => !name.startsWith(".."))).toEqual(["app.conf", "fresh"]);
    expect(await readFile(join(at, "app.conf"), "utf8")).toBe("two");
    expect((await readdir(at)).filter((name) => name.startsWith(".."))).toHaveLength(2);
    await manager.refresh(pod, UID, nothing, signal);
    expect(await readFile(join(at, "fresh"), "utf8")).toBe("f");
  });

  test("an update that a crash stopped half way is finished by the next", async () => {
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    const [volume] = await manager.prepare(pod, UID, lookupOf(config), signal);
    const at = volume?.hostPath ?? "";
    await mkdir(join(at, "..2020_01_01_00_00_00.deadbeef"));
    await symlink("..2020_01_01_00_00_00.deadbeef", join(at, "..data_tmp"));
    await symlink("..data/gone", join(at, "gone"));
    await manager.prepare(pod, UID, lookupOf(config), signal);
    const names = await readdir(at);
    expect(names.filter((name) => name.startsWith(".."))).toHaveLength(2);
    expect(names.filter((name) => !name.startsWith("..")).sort()).toEqual(["app.conf", "blob", "other"]);
  });

  test("a reader never sees a half-written state", async () => {
    const content = (version: number): string => `${version}\n`.repeat(2000);
    const of = (version: number) =>
      lookupOf(makeConfigMap("settings", { a: content(version), b: content(version), c: content(version) }));
    const pod = podWith([{ name: "v", configMap: { name: "settings" } }]);
    const [volume] = await manager.prepare(pod, UID, of(0), signal);
    // Opens a version by its directory, as a program does that wants one state, and checks that it is all one.
    const script = `cd "$0"; while [ ! -e "$1" ]; do
      for f in a b c; do [ "$(wc -l < $f)" = 2000 ] || echo "torn $f"; [ "$(sort -u $f | wc -l)" = 1 ] || echo "mixed $f"; done
      n=$((n+1)); done; echo "read $n"`;
    const stop = join(root, "stop");
    const reader = spawn("sh", ["-c", script, volume?.hostPath ?? "", stop], { stdio: ["ignore", "pipe", "pipe"] });
    let said = "";
    reader.stdout.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    reader.stderr.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    const ended = new Promise<void>((done) => reader.once("close", () => done()));
    try {
      for (let version = 1; version <= 60; version += 1) await manager.refresh(pod, UID, of(version), signal);
    } finally {
      await writeFile(stop, "");
      await ended;
    }
    expect(said).toMatch(/^read \d+\n$/);
  });
});

describe("all volumes of a pod", () => {
  test("are removed together; an unknown or half-removed pod is fine; a hostile uid is not", async () => {
    const pod = podWith([
      { name: "a", emptyDir: {} },
      { name: "b", emptyDir: { medium: "Memory", sizeLimit: "1Mi" } },
      { name: "c", secret: { secretName: "s" } },
    ]);
    const volumes = await manager.prepare(pod, UID, lookupOf(makeSecret("s", { k: "v" })), signal);
    const sitter = spawn("cat", { cwd: volumes[1]?.hostPath, stdio: ["pipe", "ignore", "ignore"] });
    try {
      await manager.remove(UID, signal);
    } finally {
      sitter.stdin.end();
    }
    expect(await mountsBelow(root)).toEqual([]);
    expect(await readdir(join(root, "gantry/lib/pods"))).toEqual([]);
    await manager.remove(UID, signal);
    await expect(manager.remove("../../etc", signal)).rejects.toMatchObject({ code: "internal" });
  });

  test("other data of the pod stays", async () => {
    await prepareOne({ emptyDir: {} });
    await writeFile(join(root, "gantry/lib/pods", UID, "hosts"), "x");
    await manager.remove(UID, signal);
    expect(await readdir(join(root, "gantry/lib/pods", UID))).toEqual(["hosts"]);
    expect(await manager.list()).toEqual([]);
  });

  test("prepare and refresh at once do not get in each other's way", async () => {
    const pod = podWith([
      { name: "a", configMap: { name: "c" } },
      { name: "b", secret: { secretName: "s" } },
      { name: "m", emptyDir: { medium: "Memory" } },
    ]);
    const lookup = lookupOf(makeConfigMap("c", { k: "v" }), makeSecret("s", { k: "v" }));
    const uids = ["one", "two", "three"];
    await Promise.all(
      uids.flatMap((uid) => [
        manager.prepare(pod, uid, lookup, signal),
        manager.refresh(pod, uid, lookup, signal),
        manager.prepare(pod, uid, lookup, signal),
      ]),
    );
    expect(await manager.list()).toEqual([...uids].sort());
    expect(await mountsBelow(root)).toHaveLength(4);
    await Promise.all(uids.map((uid) => manager.remove(uid, signal)));
    expect(await mountsBelow(root)).toEqual([]);
  });

  test("a full disk is called so", async () => {
    await mkdir(join(root, "gantry"));
    await exec("mount", ["-t", "tmpfs", "-o", "size=64k", "tmpfs", join(root, "gantry")]);
    const big = makeConfigMap("big", { a: "x".repeat(200_000) });
    await expect(prepareOne({ configMap: { name: "big" } }, undefined, lookupOf(big))).rejects.toMatchObject({
      code: "disk-full",
    });
    const small = await prepareOne(
      { configMap: { name: "big" } },
      undefined,
      lookupOf(makeConfigMap("big", { a: "small" })),
    );
    expect(await readFile(join(small.hostPath, "a"), "utf8")).toBe("small");
  });

  test("a kind that is not supported yet is named", async () => {
    await expect(prepareOne({ nfs: { server: "s", path: "/" } })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("nfs"),
    });
  });
});

describe("projected and downwardAPI", () => {
  const fields = {
    items: [
      { path: "labels", fieldRef: { fieldPath: "metadata.labels" } },
      {
        path: "cpu/limit",
        mode: 0o400,
        resourceFieldRef: { containerName: "app", resource: "limits.cpu", divisor: "1m" },
      },
    ],
  };

  test("fields of the pod are files", async () => {
    const { hostPath, kind } = await prepareOne({ downwardAPI: { ...fields, defaultMode: 0o640 } });
    expect(kind).toBe("secret"); // in memory, and nothing for apps to write to
    expect(await readFile(join(hostPath, "labels"), "utf8")).toBe("the metadata.labels");
    expect(await readFile(join(hostPath, "cpu/limit"), "utf8")).toBe("limits.cpu of app by 1m");
    expect(await modeOf(join(hostPath, "labels"))).toBe(0o640);
    expect(await modeOf(join(hostPath, "cpu/limit"))).toBe(0o400);
  });

  const lookup = lookupOf(makeConfigMap("c", { a: "of the map", both: "map" }), makeSecret("s", { both: "secret" }));
  const projected = {
    sources: [{ configMap: { name: "c" } }, { secret: { name: "s" } }, { downwardAPI: fields }],
  };

  test("several sources share a directory, the later ones win, and all is updated at once", async () => {
    const { hostPath } = await prepareOne({ projected }, undefined, lookup);
    const read = (name: string): Promise<string> => readFile(join(hostPath, name), "utf8");
    expect(await Promise.all(["a", "both", "labels"].map(read))).toEqual([
      "of the map",
      "secret",
      "the metadata.labels",
    ]);
    const other = lookupOf(makeConfigMap("c", { a: "changed" }), makeSecret("s", { both: "too" }));
    await manager.refresh(podWith([{ name: "v", projected }]), UID, other, signal);
    expect(await Promise.all(["a", "both"].map(read))).toEqual(["changed", "too"]);
    // What is missing now stays as it was.
    await manager.refresh(podWith([{ name: "v", projected }]), UID, nothing, signal);
    expect(await read("a")).toBe("changed");
  });

  test("a source that is missing is waited for, unless it is optional", async () => {
    await expect(prepareOne({ projected })).rejects.toMatchObject({ code: "config-missing" });
    const optional = { sources: [{ configMap: { name: "c", optional: true } }, { downwardAPI: fields }] };
    const { hostPath } = await prepareOne({ projected: optional });
    expect((await readdir(hostPath)).filter((name) => !name.startsWith("..")).sort()).toEqual(["cpu", "labels"]);
  });

  test("a path that leaves the volume is refused", async () => {
    const items = [{ path: "a/../../b", fieldRef: { fieldPath: "metadata.name" } }];
    await expect(prepareOne({ downwardAPI: { items } })).rejects.toThrow(/'\.\.'|path/);
  });
});
