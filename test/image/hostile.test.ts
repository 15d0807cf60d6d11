import { lstat, mkdir, readdir, readFile, rename, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ImageStore } from "../../src/image/index.ts";
import { exec } from "../../src/system/exec.ts";
import {
  craftTar,
  makeLayout,
  makeRoot,
  openStore,
  packTar,
  removeRoot,
  signal,
  type TarEntry,
  writeTree,
} from "./fixtures.ts";

let root: string;
let outside: string;
let store: ImageStore;

beforeAll(async () => {
  root = await makeRoot();
  outside = join(root, "outside");
  await mkdir(outside);
  await writeFile(join(outside, "secret"), "host data");
  store = openStore(root, { limits: { unpackedBytes: 4 << 20, entries: 500, inputBytes: 8 << 20 } });
});
afterAll(async () => {
  expect(await readdir(outside)).toEqual(["secret"]);
  expect(await readFile(join(outside, "secret"), "utf8")).toBe("host data");
  await removeRoot(root);
});

/** Imports a crafted root filesystem; gives its mounted root, or the message of the refusal. */
async function attempt(entries: readonly TarEntry[]): Promise<{ root: string } | { refused: string }> {
  const file = join(root, `crafted-${Math.random()}.tar`);
  await writeFile(file, craftTar(entries));
  try {
    const image = await store.import(file, "localhost/hostile:1", signal);
    return { root: await store.rootfs(image.digest, signal) };
  } catch (error) {
    expect(error).toMatchObject({ code: "image-invalid" });
    return { refused: error instanceof Error ? error.message : "" };
  }
}

const up = "../".repeat(20);

describe("an archive that wants out", () => {
  test.each<[string, (out: string) => TarEntry[]]>([
    ["a path with ..", (out) => [{ name: `${up}${out.slice(1)}/evil`, text: "x" }]],
    ["an absolute path", (out) => [{ name: `${out}/evil`, text: "x" }]],
    [
      "a file below an absolute symlink",
      (out) => [
        { name: "d", type: "2", link: out },
        { name: "d/evil", text: "x" },
      ],
    ],
    [
      "a file below a relative symlink",
      (out) => [
        { name: "d", type: "2", link: `${up}${out.slice(1)}` },
        { name: "d/evil", text: "x" },
      ],
    ],
    [
      "a file over a symlink",
      (out) => [
        { name: "f", type: "2", link: `${out}/secret` },
        { name: "f", text: "x" },
      ],
    ],
    [
      "a hard link to the host",
      (out) => [
        { name: "h", type: "1", link: `${out}/secret` },
        { name: "h", text: "x" },
      ],
    ],
    ["a hard link with ..", (out) => [{ name: "h", type: "1", link: `${up}${out.slice(1)}/secret` }]],
    ["a whiteout with ..", (out) => [{ name: `${up}${out.slice(1)}/.wh.secret` }]],
    ["a whiteout below a symlink", (out) => [{ name: "d", type: "2", link: out }, { name: "d/.wh.secret" }]],
    ["an opaque whiteout below a symlink", (out) => [{ name: "d", type: "2", link: out }, { name: "d/.wh..wh..opq" }]],
    ["a whiteout of ..", () => [{ name: "a/.wh..." }, { name: "a/.wh...", text: "" }]],
  ])("%s does not get there", async (_, make) => {
    await attempt([...make(outside), { name: "ok", text: "ok" }]);
    expect(await readdir(outside)).toEqual(["secret"]);
    expect(await readFile(join(outside, "secret"), "utf8")).toBe("host data");
    expect((await lstat(join(outside, "secret"))).nlink).toBe(1);
  });

  test("device nodes are left out, everything else is there", async () => {
    const result = await attempt([
      { name: "disk", type: "4" },
      { name: "dev/chr", type: "3" },
      { name: "ok", text: "ok" },
      { name: "dev/null.txt", text: "" },
    ]);
    if (!("root" in result)) throw new Error(result.refused);
    expect((await readdir(result.root)).sort()).toEqual(["dev", "ok"]);
    expect(await readdir(join(result.root, "dev"))).toEqual(["null.txt"]);
  });
});

describe("an archive of absurd size", () => {
  test("too much data", async () => {
    expect(
      await attempt([
        { name: "a", text: "x".repeat(3 << 20) },
        { name: "b", text: "x".repeat(2 << 20) },
      ]),
    ).toEqual({
      refused: expect.stringMatching(/unpacks to more than 4 MiB; the limit is 4 MiB/),
    });
  });

  test("too many files", async () => {
    const many = Array.from({ length: 600 }, (_, at) => ({ name: `f${at}` }));
    expect(await attempt(many)).toEqual({ refused: expect.stringContaining("more than 500 files") });
  });

  test("too much data and too many files in several layers together, told with the limit that is set", async () => {
    const layers = await Promise.all(
      [0, 1, 2].map(async (at) => {
        const files = Array.from({ length: 200 }, (_, file) => ({ name: `${at}-${file}` }));
        await writeFile(join(root, `big-${at}.tar`), craftTar([{ name: `f${at}`, text: "x".repeat(2 << 20) }]));
        await writeFile(join(root, `many-${at}.tar`), craftTar(files));
        return { big: join(root, `big-${at}.tar`), many: join(root, `many-${at}.tar`) };
      }),
    );
    const layout = await makeLayout(join(root, "together"), {
      big: layers.map(({ big }) => big),
      many: layers.map(({ many }) => many),
    });
    await expect(store.import(layout, "localhost/together:big", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("other layers it unpacks to more than 4 MiB; the limit is 4 MiB"),
    });
    await expect(store.import(layout, "localhost/together:many", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("other layers it holds more than 500 files; the limit is 500 files"),
    });
  });

  test("a size that the header only claims", async () => {
    expect(await attempt([{ name: "huge", size: 8_000_000_000 }])).toEqual({
      refused: expect.stringMatching(/more than 4 MiB|cut short/),
    });
  });

  test("a sparse file that claims a terabyte", async () => {
    const dir = join(root, "sparse");
    await mkdir(dir);
    await exec("truncate", ["--size=1T", join(dir, "hole")]);
    const file = await packTar(dir, join(root, "sparse.tar"), ["hole"], ["--sparse"]);
    await expect(store.import(file, "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("more than 4 MiB"),
    });
    await expect(store.import(dir, "x", signal)).rejects.toMatchObject({ code: "image-invalid" });
  });

  test("a decompression bomb, as the file and as a layer", async () => {
    const bomb = gzipSync(Buffer.alloc(64 << 20));
    await writeFile(join(root, "bomb"), bomb);
    await expect(store.import(join(root, "bomb"), "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("larger than 8 MiB"),
    });
    const big = join(root, "big");
    await mkdir(big);
    await exec("truncate", ["--size=64M", join(big, "zeros")]);
    const layout = await makeLayout(join(root, "bomb-layout"), {
      latest: [await packTar(big, join(root, "big.tar"), ["zeros"])],
    });
    await expect(store.import(layout, "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("layer 1 of 1"),
    });
  });
});

describe("an OCI layout that lies", () => {
  async function honest(name: string): Promise<string> {
    const tree = await writeTree(join(root, `${name}-tree`), { ok: name });
    return await makeLayout(join(root, name), { latest: [await packTar(tree, join(root, `${name}.tar`), ["ok"])] });
  }

  test("a blob with other content than its digest says", async () => {
    const layout = await honest("tampered");
    const blobs = join(layout, "blobs/sha256");
    const sizes = await Promise.all(
      (await readdir(blobs)).map(async (name) => ({ name, size: (await lstat(join(blobs, name))).size })),
    );
    for (const { name } of sizes) {
      const original = await readFile(join(blobs, name));
      const changed = Buffer.from(original);
      changed[changed.length - 5] = (changed[changed.length - 5] ?? 0) ^ 1;
      await writeFile(join(blobs, name), changed);
      await expect(store.import(layout, "x", signal), name).rejects.toMatchObject({ code: "image-invalid" });
      await writeFile(join(blobs, name), original);
    }
    await expect(store.import(layout, "localhost/untampered:1", signal)).resolves.toMatchObject({
      names: ["localhost/untampered:1"],
    });
  });

  test("a blob that is a link to a file of the host", async () => {
    const layout = await honest("linked");
    const blobs = join(layout, "blobs/sha256");
    const [first = ""] = await readdir(blobs);
    await rename(join(blobs, first), join(outside, "..", "moved"));
    await symlink("../../../moved", join(blobs, first));
    await expect(store.import(layout, "x", signal)).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("not a regular file"),
    });
    const file = await packTar(layout, join(root, "linked-archive.tar"));
    await expect(store.import(file, "x", signal)).rejects.toMatchObject({ code: "image-invalid" });
  });

  test("an index.json that is nonsense, empty, or names a blob that is not there", async () => {
    const layout = await honest("nonsense");
    const missing = {
      schemaVersion: 2,
      manifests: [
        { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: `sha256:${"0".repeat(64)}`, size: 5 },
      ],
    };
    for (const text of [
      "",
      "[]",
      "{}",
      '{"schemaVersion":2,"manifests":[]}',
      JSON.stringify(missing),
      JSON.stringify({ schemaVersion: 2, manifests: [{ digest: "../../x" }] }),
    ]) {
      await writeFile(join(layout, "index.json"), text);
      await expect(store.import(layout, "x", signal), text).rejects.toMatchObject({ code: "image-invalid" });
    }
  });
});
