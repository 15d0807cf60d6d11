import { createWriteStream } from "node:fs";
import { mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readHead } from "../../src/image/compression.ts";
import type { Image, ImageStore, ImageStoreOptions, VerifyResult } from "../../src/image/index.ts";
import { insecure, Registry, skopeo } from "../support/registry.ts";
import { makeImages, manifestOf, pushIndex } from "../support/registry-images.ts";
import { makeRoot, openStore, removeRoot, signal, writeTree } from "./fixtures.ts";

/** What keeps images whole, and what carries them to a host without a registry. */
let root: string;
let layout: string;
let registry: Registry;
let store: ImageStore;
let one: Image;
let two: Image;
let index: string;
const names = { one: "", two: "", multi: "" };

beforeAll(async () => {
  root = await makeRoot();
  layout = makeImages(root);
  registry = await Registry.start(join(root, "registry"));
  for (const tag of ["one", "two"]) registry.push(layout, tag, `app:${tag}`);
  index = await pushIndex(registry, "app", "multi", { amd64: manifestOf(layout, "one") });
  names.one = `${registry.host}/app:one`;
  names.two = `${registry.host}/app:two`;
  names.multi = `${registry.host}/app@${index}`;
  store = await newStore("gantry-1");
  one = await store.pull(names.one, { signal });
  two = await store.pull(names.two, { signal });
  await store.pull(names.multi, { signal });
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await removeRoot(root);
});

async function newStore(name: string, options: Partial<ImageStoreOptions> = {}): Promise<ImageStore> {
  const dir = join(root, name);
  await mkdir(join(dir, "gantry/etc"), { recursive: true });
  await writeFile(join(dir, "gantry/etc/registries.conf"), insecure(registry.host));
  return openStore(dir, options);
}

const images = (name = "gantry-1"): string => join(root, name, "gantry/lib/images");
const blobFile = (digest: string): string => join(images(), "blobs/sha256", digest.slice(7));

async function tamper(file: string, at: number): Promise<void> {
  const handle = await open(file, "r+");
  await handle.write(Buffer.from("tampered"), 0, 8, at);
  await handle.close();
}

async function verify(from = store, repair = true, wanted: readonly string[] = []): Promise<VerifyResult[]> {
  return await allOf(from.verify(wanted, repair, signal));
}
async function allOf<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

const states = (results: readonly VerifyResult[]): string[] => results.map(({ state }) => state);

describe("verify", () => {
  test("what is whole is ok", async () => {
    expect(states(await verify())).toEqual(["ok", "ok"]);
    await expect(verify(store, true, ["none"])).rejects.toMatchObject({ code: "not-found" });
  });

  test("a root that somebody wrote to is found, told, and made again from the layers", async () => {
    const file = join(images(), "roots", `${one.digest.slice(7)}.erofs`);
    const whole = await readHead(file, one.sizeBytes);
    const mounted = await store.rootfs(one.digest, signal);
    await tamper(file, one.sizeBytes - 5000);
    const [found] = await verify(store, false, [names.one]);
    expect(found).toMatchObject({ state: "damaged", findings: [expect.stringContaining(".erofs has other content")] });
    const [mended] = await verify(store, true, [names.one]);
    expect(mended).toMatchObject({ state: "repaired", rootReplaced: true });
    expect((await readHead(file, one.sizeBytes)).equals(whole)).toBe(true);
    expect(await store.rootfs(one.digest, signal)).toBe(mounted);
    expect(await readFile(join(mounted, "one"), "utf8")).toBe("one\n");
    expect(states(await verify())).toEqual(["ok", "ok"]);
  });

  test("layers and manifests that are damaged or lost are pulled again", async () => {
    const { digest, layers } = manifestOf(layout, "two");
    await tamper(blobFile(layers[1] ?? ""), 20);
    await tamper(blobFile(digest), 0);
    await rm(join(images(), "roots", `${two.digest.slice(7)}.erofs`));
    const [result] = await verify(store, true, [names.two]);
    expect(result).toMatchObject({ state: "repaired", names: [names.two] });
    expect(result?.findings).toHaveLength(3);
    expect(states(await verify())).toEqual(["ok", "ok"]);
    expect(await readFile(join(await store.rootfs(two.digest, signal), "two"), "utf8")).toBe("two\n");
  });

  test("what can't be pulled says what to do; importing it again mends it", async () => {
    const own = await newStore("gantry-own");
    const image = await own.import(await writeTree(join(root, "tree-own"), { who: "me" }), "own:1", signal);
    const blobs = join(images("gantry-own"), "blobs/sha256");
    for (const name of await readdir(blobs)) {
      if ((await stat(join(blobs, name))).size > 5000) await tamper(join(blobs, name), 600);
    }
    const [result] = await verify(own);
    expect(result).toMatchObject({ state: "damaged", hint: expect.stringContaining("Import it again") });
    await own.import(join(root, "tree-own"), "own:1", signal);
    expect(states(await verify(own))).toEqual(["ok"]);
    expect(await readFile(join(await own.rootfs(image.digest, signal), "who"), "utf8")).toBe("me");
  });

  test("a tree, as on a host without EROFS", async () => {
    const trees = await newStore("gantry-trees", { format: "tree" });
    const image = await trees.pull(names.one, { signal });
    expect(states(await verify(trees))).toEqual(["ok"]);
    await writeFile(join(images("gantry-trees"), "roots", image.digest.slice(7), "one"), "two\n");
    expect(states(await verify(trees))).toEqual(["repaired"]);
    expect(await readFile(join(await trees.rootfs(image.digest, signal), "one"), "utf8")).toBe("one\n");
  });
});

describe("export and import of many", () => {
  const archive = (): string => join(root, "images.tar");

  test("carries names, digests and shared layers", async () => {
    const wanted = [names.one, names.two, names.multi];
    await pipeline(Readable.from(store.export(wanted, signal)), createWriteStream(archive()));
    const offline = await newStore("gantry-offline");
    const brought = await offline.importAll(archive(), signal);
    expect(brought.flatMap((image) => image.names).sort()).toEqual([...wanted].sort());
    expect((await offline.resolve(names.multi))?.digest).toBe(one.digest);
    expect((await offline.resolve(`${registry.host}/app@${manifestOf(layout, "two").digest}`))?.digest).toBe(
      two.digest,
    );
    expect(states(await verify(offline))).toEqual(["ok", "ok"]);
    // Once more: nothing changes.
    expect(await offline.importAll(archive(), signal)).toHaveLength(2);
    expect(await offline.list()).toHaveLength(2);
  });

  test("other tools read it", () => {
    const config = JSON.parse(skopeo(["inspect", "--config", `oci-archive:${archive()}:${names.two}`]));
    expect(config.config.Cmd).toEqual(["/bin/cat", "/two"]);
  });

  test("what another tool saved with several names", async () => {
    const file = join(root, "docker.tar");
    skopeo([
      "copy",
      "--quiet",
      "--additional-tag",
      "other/app:2",
      `oci:${layout}:one`,
      `docker-archive:${file}:some/app:1`,
    ]);
    const other = await newStore("gantry-docker");
    const [image] = await other.importAll(file, signal);
    expect(image?.names).toEqual(["docker.io/other/app:2", "docker.io/some/app:1"]);
  });

  test("an archive can't promise a digest that it does not hold", async () => {
    const lying = join(root, "lying");
    skopeo(["copy", "--quiet", `oci:${layout}:two`, `oci:${lying}:x`]);
    const text = await readFile(join(lying, "index.json"), "utf8");
    await writeFile(join(lying, "index.json"), text.replace('"x"', JSON.stringify(names.multi)));
    const other = await newStore("gantry-lied-to");
    await expect(other.importAll(lying, signal)).rejects.toMatchObject({ code: "image-invalid" });
    expect(await other.list()).toEqual([]);
  });

  test.each<[string, (at: string) => Promise<string>, RegExp]>([
    ["a root filesystem", (at) => writeTree(at, { "etc/hosts": "" }), /has no name/],
    [
      "images without full names",
      async (at) => {
        skopeo(["copy", "--quiet", `oci:${layout}:one`, `oci:${at}:v1`]);
        return at;
      },
      /full name of its own/,
    ],
  ])("%s needs a name", async (what, make, message) => {
    const from = await make(join(root, what.replaceAll(" ", "-")));
    await expect(store.importAll(from, signal)).rejects.toThrow(message);
  });

  test("what is not there can't be exported", async () => {
    const all = allOf(store.export(["none:1"], signal));
    await expect(all).rejects.toMatchObject({ code: "not-found" });
  });
});
