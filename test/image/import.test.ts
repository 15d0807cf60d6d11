import { createReadStream } from "node:fs";
import { mkdir, readFile, readlink, rename, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageStore } from "../../src/image/index.ts";
import { exec } from "../../src/system/exec.ts";
import {
  makeDockerArchive,
  makeLayout,
  makeRoot,
  openStore,
  packTar,
  removeRoot,
  signal,
  writeTree,
} from "./fixtures.ts";

let root: string;
let store: ImageStore;
let layoutDir: string;
let rootTar: string;
let rootDir: string;

/** Imports and says what the file "who" in the image says. */
async function whoIsIn(from: string | NodeJS.ReadableStream, name: string): Promise<string> {
  const image = await store.import(from, name, signal);
  expect((await store.resolve(name))?.digest).toBe(image.digest);
  return await readFile(join(await store.rootfs(image.digest, signal), "who"), "utf8");
}

beforeAll(async () => {
  root = await makeRoot();
  store = openStore(root);
  rootDir = await writeTree(join(root, "tree"), { who: "a", "bin/sh": "#!", "etc/passwd": "root:x:0:0::/:/bin/sh\n" });
  rootTar = await packTar(rootDir, join(root, "root.tar"));
  const upper = await writeTree(join(root, "upper"), { who: "b", "etc/.wh.passwd": "" });
  const second = await packTar(upper, join(root, "upper.tar"));
  layoutDir = await makeLayout(join(root, "layout"), { one: [rootTar], two: [rootTar, second] }, [
    "--config.entrypoint=/bin/sh",
    "--config.cmd=-c",
    "--config.env=GREETING=hi=there",
    "--config.user=1000:1000",
    "--config.workingdir=/srv",
    "--config.stopsignal=SIGUSR1",
  ]);
});
afterAll(() => removeRoot(root));

describe("what can be imported", () => {
  test("a docker-archive, with what its config says", async () => {
    const file = await makeDockerArchive(layoutDir, "two", join(root, "docker.tar"), "localhost/x:1");
    expect(await whoIsIn(file, "localhost/docker:1")).toBe("b");
    const image = await store.resolve("localhost/docker:1");
    expect(image?.config).toEqual({
      entrypoint: ["/bin/sh"],
      cmd: ["-c"],
      env: expect.arrayContaining([{ name: "GREETING", value: "hi=there" }]),
      workingDir: "/srv",
      user: "1000:1000",
      stopSignal: "SIGUSR1",
    });
    // The second layer's whiteout took it away.
    const etc = join(await store.rootfs(image?.digest ?? "", signal), "etc/passwd");
    await expect(stat(etc)).rejects.toThrow("ENOENT");
  });

  test.each(["gzip", "xz", "zstd", "bzip2"])(
    "a docker-archive compressed with %s, under a name that says nothing",
    async (tool) => {
      const file = await makeDockerArchive(layoutDir, "two", join(root, `docker-${tool}.tar`), "localhost/x:1");
      const { stdout } = await exec("sh", [
        "-c",
        `${tool} -c "$0" > "$0.out" && mv "$0.out" "$1" && echo done`,
        file,
        join(root, `anything-${tool}`),
      ]);
      expect(stdout).toBe("done\n");
      expect(await whoIsIn(join(root, `anything-${tool}`), `localhost/docker-${tool}:1`)).toBe("b");
    },
  );

  test("a docker-archive that was packed again, with ./ in front of its names", async () => {
    const file = await makeDockerArchive(layoutDir, "two", join(root, "docker-dot.tar"), "localhost/x:1");
    await mkdir(join(root, "again"));
    await exec("tar", ["-xf", file, "-C", join(root, "again")]);
    expect(await whoIsIn(await packTar(join(root, "again"), join(root, "dot.tar")), "localhost/dot:1")).toBe("b");
  });

  test("an OCI layout, chosen by tag", async () => {
    expect(await whoIsIn(layoutDir, "localhost/layout:one")).toBe("a");
    expect(await whoIsIn(layoutDir, "localhost/layout:two")).toBe("b");
    await expect(store.import(layoutDir, "localhost/layout:three", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringMatching(/2 images and none is localhost\/layout:three: one, two/),
    });
  });

  test("an OCI archive, plain and with ./ in front of its names", async () => {
    expect(
      await whoIsIn(
        await packTar(layoutDir, join(root, "oci.tar"), ["oci-layout", "index.json", "blobs"]),
        "localhost/oci:two",
      ),
    ).toBe("b");
    expect(await whoIsIn(await packTar(layoutDir, join(root, "oci-dot.tar")), "localhost/oci-dot:one")).toBe("a");
  });

  test("an OCI layout whose layers are compressed with zstd", async () => {
    const dir = join(root, "zstd-layout");
    // skopeo compresses only what is not compressed yet.
    await exec("skopeo", [
      "--insecure-policy",
      "copy",
      "--quiet",
      "--dest-decompress",
      `oci:${layoutDir}:two`,
      `dir:${join(root, "plain-dir")}`,
    ]);
    await exec("skopeo", [
      "--insecure-policy",
      "copy",
      "--quiet",
      "--dest-compress-format",
      "zstd",
      `dir:${join(root, "plain-dir")}`,
      `oci:${dir}:two`,
    ]);
    const index: { manifests: { digest: string }[] } = JSON.parse(await readFile(join(dir, "index.json"), "utf8"));
    const manifest = await readFile(join(dir, "blobs", index.manifests[0]?.digest.replace(":", "/") ?? ""), "utf8");
    expect(manifest).toContain("tar+zstd");
    expect(await whoIsIn(dir, "localhost/zstd:two")).toBe("b");
  });

  test("a root filesystem as a tar, as a directory, and from a stream; each is the same image every time", async () => {
    expect(await whoIsIn(rootTar, "localhost/tar:1")).toBe("a");
    expect(await whoIsIn(rootDir, "localhost/dir:1")).toBe("a");
    expect(await whoIsIn(createReadStream(rootTar), "localhost/stream:1")).toBe("a");
    expect((await store.resolve("localhost/stream:1"))?.digest).toBe((await store.resolve("localhost/tar:1"))?.digest);
    const again = await store.import(rootDir, "localhost/dir:2", signal);
    expect(again.names).toEqual(["localhost/dir:1", "localhost/dir:2"]);
    expect(again.config).toMatchObject({
      cmd: ["/bin/sh"],
      entrypoint: [],
      env: [{ name: "PATH", value: expect.stringContaining("/usr/bin") }],
    });
  });

  test("a root filesystem without a shell has no command", async () => {
    const dir = await writeTree(join(root, "noshell"), { app: "x" });
    expect((await store.import(dir, "localhost/noshell:1", signal)).config.cmd).toEqual([]);
  });

  test("paths with spaces, colons and a leading dash", async () => {
    const odd = join(root, "-odd: name");
    await mkdir(odd);
    const file = join(odd, "-a:b c.tar");
    await rename(await makeDockerArchive(layoutDir, "one", join(root, "plain-name.tar"), "localhost/x:1"), file);
    expect(await whoIsIn(file, "localhost/odd:1")).toBe("a");
    expect(await whoIsIn(rootDir, "localhost/odd:2")).toBe("a");
  });

  test("files keep modes, links and times", async () => {
    const dir = await writeTree(join(root, "kept"), { "bin/app": "x" });
    await exec("sh", [
      "-c",
      'cd "$0" && chown 12:34 bin/app && chmod 4755 bin/app && ln -s app bin/link && ln bin/app bin/hard && mkdir -m 1777 tmp',
      dir,
    ]);
    await utimes(join(dir, "bin/app"), 1e9, 1e9);
    const image = await store.import(dir, "localhost/kept:1", signal);
    const mounted = await store.rootfs(image.digest, signal);
    const app = await stat(join(mounted, "bin/app"));
    expect({ mode: app.mode & 0o7777, uid: app.uid, gid: app.gid, time: app.mtimeMs, links: app.nlink }).toEqual({
      mode: 0o4755,
      uid: 12,
      gid: 34,
      time: 1e12,
      links: 2,
    });
    expect(await readlink(join(mounted, "bin/link"))).toBe("app");
    expect((await stat(join(mounted, "tmp"))).mode & 0o7777).toBe(0o1777);
    await expect(writeFile(join(mounted, "bin/app"), "y")).rejects.toThrow("EROFS");
  });
});

describe("what can't", () => {
  const gibberish = Buffer.from(Array.from({ length: 2000 }, (_, at) => (at * 7919 + 131) % 251));
  test.each([
    ["an empty file", Buffer.alloc(0), "an empty file"],
    ["text", Buffer.from("hello there\n"), 'text that begins with "hello there'],
    ["gibberish", gibberish, "unknown data that begins with the bytes"],
    ["a zip archive", Buffer.from("PK\x03\x04 and more"), "a zip archive"],
    ["an empty tar", Buffer.alloc(10240), "an empty tar archive"],
    [
      "a damaged gzip file",
      Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 99, 99, 99]),
      "gzip data is damaged or cut short",
    ],
    [
      "a damaged xz file",
      Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00, 1, 2, 3]),
      "xz data is damaged or cut short",
    ],
    ["a damaged zstd file", Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 1, 2, 3]), "zstd data is damaged or cut short"],
  ])("%s", async (_, bytes, found) => {
    await expect(store.import(Readable.from([bytes]), "localhost/bad:1", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining(found),
    });
    expect(await store.resolve("localhost/bad:1")).toBeUndefined();
  });

  test("an archive cut short at any place", async () => {
    const whole = await readFile(await makeDockerArchive(layoutDir, "two", join(root, "cut.tar"), "localhost/x:1"));
    const plain = await readFile(rootTar);
    for (const bytes of [
      whole.subarray(0, 700),
      whole.subarray(0, whole.length / 2),
      whole.subarray(0, 512 * 3),
      plain.subarray(0, 1024),
      plain.subarray(0, 600),
    ]) {
      await expect(store.import(Readable.from([bytes]), "localhost/bad:1", signal)).rejects.toMatchObject({
        code: "image-invalid",
      });
    }
  });

  test("a directory that is empty, a socket or device, nothing at all", async () => {
    await mkdir(join(root, "empty"));
    await expect(store.import(join(root, "empty"), "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("an empty directory"),
    });
    await expect(store.import("/dev/null", "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("a device"),
    });
    await expect(store.import(join(root, "nowhere"), "x", signal)).rejects.toMatchObject({ code: "not-found" });
  });

  test("a name that is none, or that claims a digest", async () => {
    await expect(store.import(rootDir, "Not A Name", signal)).rejects.toMatchObject({ code: "name-invalid" });
    await expect(store.import(rootDir, `x@sha256:${"0".repeat(64)}`, signal)).rejects.toMatchObject({
      code: "name-invalid",
    });
  });

  test("a broken manifest inside", async () => {
    const dir = await writeTree(join(root, "broken"), { "manifest.json": "[{]", "x.json": "{}" });
    const file = await packTar(dir, join(root, "broken.tar"), ["manifest.json", "x.json"]);
    await expect(store.import(file, "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("manifest.json"),
    });
  });

  test("a cancelled import", async () => {
    await expect(store.import(rootDir, "localhost/cancelled:1", AbortSignal.abort())).rejects.toMatchObject({
      code: "cancelled",
    });
    expect(await store.resolve("localhost/cancelled:1")).toBeUndefined();
  });
});
