import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { buildSampleImage, type ImageStore, SAMPLE_IMAGE } from "../../src/image/index.ts";
import { exec } from "../../src/system/exec.ts";
import { readMounts } from "../../src/system/mounts.ts";
import { makeLayout, makeRoot, openStore, packTar, removeRoot, signal, writeTree } from "./fixtures.ts";

let root: string;
let store: ImageStore;
const nobody = (): string[] => [];

beforeEach(async () => {
  root = await makeRoot();
  store = openStore(root);
});
afterEach(() => removeRoot(root));

const inStore = (...parts: string[]): string => join(root, "gantry/lib/images", ...parts);

/** A root filesystem; the same content gives the same image. */
async function tree(content: string): Promise<string> {
  const dir = await writeTree(await mkdtemp(join(root, "tree-")), { who: content });
  await utimes(join(dir, "who"), 1, 1);
  await utimes(dir, 1, 1);
  return dir;
}

async function mountsOf(path: string): Promise<number> {
  return (await readMounts()).filter((mount) => mount.path === path).length;
}

/** Everything that the store keeps, besides its index, lock and policy. */
async function kept(): Promise<{ blobs: number; roots: number; temporary: number }> {
  const count = async (dir: string): Promise<number> => (await readdir(inStore(dir))).length;
  return { blobs: await count("blobs/sha256"), roots: await count("roots"), temporary: await count("tmp") };
}

describe("names", () => {
  test("an image is found by every spelling of its name, and by its digests", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    for (const name of ["hello", "hello:latest", "docker.io/library/hello", image.digest, `hello@${image.digest}`]) {
      expect((await store.resolve(name))?.digest, name).toBe(image.digest);
    }
    for (const name of ["hello:2", "localhost/hello", `hello@sha256:${"0".repeat(64)}`])
      expect(await store.resolve(name), name).toBeUndefined();
    await expect(store.resolve("Hello World")).rejects.toMatchObject({ code: "name-invalid" });
  });

  test("a name moves to the image that was imported under it last; the other keeps its data", async () => {
    const first = await store.import(await tree("a"), "hello:1", signal);
    const second = await store.import(await tree("b"), "hello:1", signal);
    expect((await store.resolve("hello:1"))?.digest).toBe(second.digest);
    expect((await store.list()).map(({ digest, names }) => ({ digest, names }))).toEqual([
      { digest: second.digest, names: ["docker.io/library/hello:1"] },
      { digest: first.digest, names: [] },
    ]);
    expect(await readFile(join(await store.rootfs(first.digest, signal), "who"), "utf8")).toBe("a");
  });

  test("what one store imports another sees at once", async () => {
    const other = openStore(root);
    expect(await other.list()).toEqual([]);
    const image = await store.import(await tree("a"), "hello", signal);
    expect((await other.resolve("hello"))?.digest).toBe(image.digest);
    await other.remove("hello", nobody);
    expect(await store.list()).toEqual([]);
  });

  test("an image that is not there", async () => {
    expect(await store.list()).toEqual([]);
    await expect(store.rootfs(`sha256:${"0".repeat(64)}`, signal)).rejects.toMatchObject({ code: "image-missing" });
    await expect(store.remove("nothing", nobody)).rejects.toMatchObject({
      code: "not-found",
      message: "no image docker.io/library/nothing:latest",
    });
  });
});

describe("removing", () => {
  test("a name, then with the last one the data; layers that others share stay", async () => {
    const lower = await packTar(await tree("a"), join(root, "a.tar"), ["who"]);
    const upper = await packTar(await tree("b"), join(root, "b.tar"), ["who"]);
    const layout = await makeLayout(join(root, "layout"), { one: [lower], two: [lower, upper] });
    const one = await store.import(layout, "x:one", signal);
    expect(await kept()).toEqual({ blobs: 3, roots: 1, temporary: 0 });
    await store.import(layout, "x:two", signal);
    expect(await kept()).toEqual({ blobs: 6, roots: 2, temporary: 0 });
    await store.import(layout, "y:one", signal);
    await store.remove("x:one", nobody);
    expect((await store.resolve("y:one"))?.digest).toBe(one.digest);
    await store.remove("y:one", nobody);
    expect(await store.resolve("y:one")).toBeUndefined();
    expect(await kept()).toEqual({ blobs: 4, roots: 1, temporary: 0 });
    await store.remove("x:two", nobody);
    expect(await kept()).toEqual({ blobs: 0, roots: 0, temporary: 0 });
  });

  test("an image in use is not removed, but its other names are", async () => {
    const image = await store.import(await tree("a"), "hello:1", signal);
    await store.import(await tree("a"), "hello:2", signal);
    const users = (digest: string, name: string | undefined): string[] => {
      if (digest !== image.digest) return [];
      return name === undefined || name.endsWith("hello:2") ? ["default/web", "default/db"] : [];
    };
    await expect(store.remove("hello:2", users)).rejects.toMatchObject({ code: "image-in-use" });
    await store.remove("hello:1", users);
    await expect(store.remove("hello:2", users)).rejects.toMatchObject({
      code: "image-in-use",
      message: expect.stringContaining("in use by default/web, default/db"),
    });
    await expect(store.remove(image.digest, users)).rejects.toMatchObject({ code: "image-in-use" });
    expect((await store.resolve("hello:2"))?.digest).toBe(image.digest);
  });

  test("by id, also shortened, with all its names and its mount", async () => {
    const image = await store.import(await tree("a"), "hello:1", signal);
    await store.import(await tree("a"), "hello:2", signal);
    const dir = await store.rootfs(image.digest, signal);
    await store.remove(image.digest.slice("sha256:".length, "sha256:".length + 12), nobody);
    expect(await store.list()).toEqual([]);
    expect(await mountsOf(dir)).toBe(0);
    expect(await kept()).toEqual({ blobs: 0, roots: 0, temporary: 0 });
  });
});

describe("mounting", () => {
  test("once, however many ask at once, also from two stores", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    const other = openStore(root);
    const dirs = await Promise.all(
      [1, 2, 3, 4, 5, 6].map((at) => (at % 2 === 0 ? store : other).rootfs(image.digest, signal)),
    );
    expect(new Set(dirs).size).toBe(1);
    expect(await mountsOf(dirs[0] ?? "")).toBe(1);
  });

  test("a mount of an earlier daemon is used again, a stale directory is mounted over", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    const dir = join(root, "gantry/run/images", image.digest.slice("sha256:".length));
    await mkdir(dir, { recursive: true });
    expect(await store.rootfs(image.digest, signal)).toBe(dir);
    expect(await openStore(root).rootfs(image.digest, signal)).toBe(dir);
    expect(await mountsOf(dir)).toBe(1);
  });

  test("a mount that somebody took away is made again", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    const dir = await store.rootfs(image.digest, signal);
    await exec("umount", [dir]);
    expect(await readFile(join(await store.rootfs(image.digest, signal), "who"), "utf8")).toBe("a");
  });

  test("what nobody uses is unmounted, even while a process sits in it", async () => {
    const used = await store.import(await tree("a"), "used", signal);
    const unused = await store.import(await tree("b"), "unused", signal);
    const dir = await store.rootfs(used.digest, signal);
    const busy = await store.rootfs(unused.digest, signal);
    const sitter = spawn("cat", { cwd: busy, stdio: ["pipe", "ignore", "ignore"] });
    try {
      await store.unmountUnused(new Set([used.digest]));
      expect(await mountsOf(dir)).toBe(1);
      expect(await mountsOf(busy)).toBe(0);
      await expect(stat(busy)).rejects.toThrow("ENOENT");
    } finally {
      sitter.stdin.end();
    }
    await store.unmountUnused(new Set());
    expect(await mountsOf(dir)).toBe(0);
  });

  test("a mount whose caller has given up is waited for, and can be taken away then", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    const abort = new AbortController();
    const mounting = store.rootfs(image.digest, abort.signal);
    abort.abort();
    await expect(mounting).rejects.toMatchObject({ code: "cancelled" });
    await store.settled();
    const dir = join(root, "gantry/run/images", image.digest.slice("sha256:".length));
    expect(await mountsOf(dir)).toBe(1);
    await store.unmountUnused(new Set());
    expect(await mountsOf(dir)).toBe(0);
  });

  test("other mount namespaces don't see the mounts, where the mount around is shared", async () => {
    await exec("mount", ["-t", "tmpfs", "tmpfs", root]);
    await exec("mount", ["--make-shared", root]);
    const image = await store.import(await tree("a"), "hello", signal);
    const base = join(root, "gantry/run/images");
    const dir = await store.rootfs(image.digest, signal);
    const mounts = await readMounts();
    expect(mounts.find((mount) => mount.path === root)?.shared).toBe(true);
    expect(mounts.find((mount) => mount.path === base)?.shared).toBe(false);
    expect(mounts.find((mount) => mount.path === dir)?.shared).toBe(false);
    await store.unmountUnused(new Set());
    expect(await mountsOf(base)).toBe(0);
  });

  test("a root that was lost is built again from the layers", async () => {
    const image = await store.import(await tree("a"), "hello", signal);
    await rm(inStore("roots"), { recursive: true });
    await mkdir(inStore("roots"));
    expect(await readFile(join(await store.rootfs(image.digest, signal), "who"), "utf8")).toBe("a");
    expect(await kept()).toMatchObject({ roots: 1, temporary: 0 });
  });

  test("a host without EROFS gets an unpacked tree, just as read-only", async () => {
    const plain = openStore(root, { format: "tree" });
    const image = await plain.import(await tree("a"), "hello", signal);
    expect(image.sizeBytes).toBeGreaterThan(0);
    const dir = await plain.rootfs(image.digest, signal);
    expect(await readFile(join(dir, "who"), "utf8")).toBe("a");
    await expect(writeFile(join(dir, "who"), "b")).rejects.toThrow("EROFS");
    await plain.remove("hello", nobody);
    expect(await kept()).toEqual({ blobs: 0, roots: 0, temporary: 0 });
  });
});

describe("accidents", () => {
  const child = join(import.meta.dirname, "import-child.ts");

  test("two processes that import the same image at once both succeed", async () => {
    const from = await tree("a");
    const run = (name: string): Promise<string> =>
      exec(process.execPath, [child, join(root, "gantry"), from, name]).then((result) => result.stdout.trim());
    const digests = await Promise.all([
      run("one"),
      run("two"),
      store.import(from, "three", signal).then((image) => image.digest),
    ]);
    expect(new Set(digests).size).toBe(1);
    expect((await store.list()).map((image) => image.names)).toEqual([
      ["docker.io/library/one:latest", "docker.io/library/three:latest", "docker.io/library/two:latest"],
    ]);
    expect(await kept()).toEqual({ blobs: 3, roots: 1, temporary: 0 });
  });

  test.each(["layer", "oci", "readable", "rootfs", "root.erofs"])(
    "an import that is killed when %s appears leaves nothing that shows",
    async (stage) => {
      const before = await store.import(await tree("before"), "before", signal);
      const dir = await tree("a");
      for (let at = 0; at < 400; at += 1) await writeFile(join(dir, `file-${at}`), "x".repeat(20_000));
      const importer = spawn(process.execPath, [child, join(root, "gantry"), dir, "killed"], { stdio: "ignore" });
      const ended = new Promise<void>((resolve) => importer.once("exit", () => resolve()));
      const appeared = async (): Promise<boolean> => {
        for (const name of await readdir(inStore("tmp"))) {
          const inside: string[] = await readdir(inStore("tmp", name)).catch(() => []);
          if (inside.includes(stage)) return true;
        }
        return false;
      };
      let seen = false;
      while (importer.exitCode === null && !seen) seen = await appeared();
      expect(seen).toBe(true);
      importer.kill("SIGKILL");
      await ended;
      const reopened = openStore(root);
      // Opens the store, which sweeps.
      const after = await reopened.import(await tree("after"), "after", signal);
      const names = (await reopened.list()).flatMap((image) => image.names);
      expect(names).toEqual(expect.arrayContaining([before.names[0], after.names[0]]));
      const whole = names.includes("docker.io/library/killed:latest") ? 3 : 2;
      expect(await kept()).toMatchObject({ blobs: whole * 3, roots: whole });
      await expect.poll(async () => (await kept()).temporary, { timeout: 10_000 }).toBe(0);
      const image = await reopened.import(dir, "killed", signal);
      expect(await readdir(await reopened.rootfs(image.digest, signal))).toHaveLength(401);
    },
  );

  test("what a crash left between the blobs and the index is swept, what another process works on is not", async () => {
    await store.import(await tree("a"), "hello", signal);
    await writeFile(inStore("blobs/sha256", "0".repeat(64)), "orphan");
    await writeFile(inStore("roots", `${"0".repeat(64)}.erofs`), "orphan");
    await mkdir(inStore("tmp", "00000000-1-1-dead"));
    const [mine = ""] = (await readFile(`/proc/self/stat`, "utf8")).split(" ").slice(21, 22);
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).slice(0, 8);
    const living = `${boot}-${process.pid}-${mine}-beef`;
    await mkdir(inStore("tmp", living));
    await openStore(root).remove("hello", () => []);
    expect(await readdir(inStore("tmp"))).toEqual([living]);
    expect(await kept()).toMatchObject({ blobs: 0, roots: 0 });
  });

  test("a full disk: nothing half-imported shows, and a smaller image fits still", async () => {
    const disk = join(root, "gantry");
    await mkdir(disk);
    await exec("mount", ["-t", "tmpfs", "-o", "size=3m", "tmpfs", disk]);
    const big = await tree("big");
    // What gzip can't shrink, in three pieces: the disk is full at another step for each number of them.
    for (const pieces of [1, 2, 3, 4]) {
      await exec("dd", ["if=/dev/urandom", `of=${join(big, `piece-${pieces}`)}`, "bs=800k", "count=1"]);
      if (pieces === 1) continue;
      await expect(store.import(big, "big", signal), `${pieces} pieces`).rejects.toMatchObject({
        code: "disk-full",
        hint: expect.stringContaining("Free some disk space"),
      });
      expect(await kept()).toEqual({ blobs: 0, roots: 0, temporary: 0 });
      expect(await store.list()).toEqual([]);
    }
    const image = await store.import(await tree("small"), "small", signal);
    expect(await readFile(join(await store.rootfs(image.digest, signal), "who"), "utf8")).toBe("small");
  });

  test("a damaged index is set aside, its data is kept, and importing goes on", async () => {
    await store.import(await tree("a"), "hello", signal);
    const good = await readFile(inStore("index.json"), "utf8");
    await writeFile(inStore("index.json"), good.slice(0, good.length / 2));
    const reopened = openStore(root);
    await reopened.import(await tree("b"), "other", signal);
    expect((await reopened.list()).flatMap((image) => image.names)).toEqual(["docker.io/library/other:latest"]);
    expect(await kept()).toMatchObject({ blobs: 6, roots: 2 });
    await writeFile(inStore("index.json.new"), good);
    await rename(inStore("index.json.new"), inStore("index.json"));
    expect((await reopened.resolve("hello"))?.names).toEqual(["docker.io/library/hello:latest"]);
  });

  test("an index of a newer version is refused", async () => {
    await store.import(await tree("a"), "hello", signal);
    await writeFile(inStore("index.json"), '{"version":99,"images":[]}');
    await expect(openStore(root).list()).rejects.toMatchObject({ code: "state-damaged" });
  });

  test("an unwritable place", async () => {
    await writeFile(join(root, "gantry"), "a file");
    await expect(store.import(await tree("a"), "hello", signal)).rejects.toMatchObject({
      message: expect.stringContaining("cannot make the image store"),
    });
  });
});

describe("the sample image", () => {
  test("is built of busybox, and only once", async () => {
    const image = await buildSampleImage(store, signal);
    expect(image).toMatchObject({ names: [SAMPLE_IMAGE], config: { cmd: ["/bin/sh"] } });
    const dir = await store.rootfs(image.digest, signal);
    expect(
      (await exec("chroot", [dir, "/bin/sh", "-c", "id app && ls /bin/hello /www/index.html && /bin/hello"])).stdout,
    ).toBe(
      `uid=1000(app) gid=1000(app) groups=1000(app),50(staff)\n/bin/hello\n/www/index.html\nHello from ${hostname()}, uid 0.\n`,
    );
    expect((await stat(join(dir, "tmp"))).mode & 0o7777).toBe(0o1777);
    const before = await stat(inStore("index.json"));
    expect((await buildSampleImage(store, signal)).digest).toBe(image.digest);
    expect((await stat(inStore("index.json"))).ino).toBe(before.ino);
  });

  test("says what to install when there is no static busybox", async () => {
    await expect(buildSampleImage(store, signal, "/nonexistent")).rejects.toMatchObject({
      code: "command-missing",
      hint: expect.stringContaining("busybox-static"),
    });
    await expect(buildSampleImage(store, signal, "/bin/ls")).rejects.toMatchObject({
      code: "command-missing",
      message: expect.stringContaining("dynamically linked"),
    });
  });
});
