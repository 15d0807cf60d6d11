import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Image, ImageStore, ImageStoreOptions, PullProgress } from "../../src/image/index.ts";
import { exec } from "../../src/system/exec.ts";
import { eventually } from "../e2e/harness/eventually.ts";
import { type Lie, LyingProxy } from "../support/lying-proxy.ts";
import { dockerConfig, insecure, Registry } from "../support/registry.ts";
import { makeImages, manifestOf, pushIndex } from "../support/registry-images.ts";
import { craftTar, makeLayout, makeRoot, openStore, removeRoot, signal } from "./fixtures.ts";

/** Pulls into a real store from a real registry, with a proxy between them that counts, lies and stalls. */
let shared: string;
let layout: string;
let registry: Registry;
let proxy: LyingProxy;
let root: string;
let etc: string;
let store: ImageStore;

beforeAll(async () => {
  shared = await makeRoot();
  layout = makeImages(shared);
  registry = await Registry.start(join(shared, "registry"));
  for (const tag of ["one", "two", "big"]) registry.push(layout, tag, `app:${tag}`);
  registry.push(layout, "one", "docker:one", "v2s2");
});
afterAll(async () => {
  await registry[Symbol.asyncDispose]();
  await removeRoot(shared);
});
beforeEach(async () => {
  root = await makeRoot();
  etc = join(root, "gantry", "etc");
  await mkdir(etc, { recursive: true });
  proxy = await LyingProxy.start(registry.host);
  await writeFile(join(etc, "registries.conf"), insecure(proxy.host, registry.host, "registry.test"));
  store = openStore(root);
});
afterEach(async () => {
  await store.close();
  await proxy[Symbol.asyncDispose]();
  await removeRoot(root);
});

const named = (name: string): string => `${proxy.host}/${name}`;
const pull = (name: string, more: Partial<Parameters<ImageStore["pull"]>[1]> = {}): Promise<Image> =>
  store.pull(named(name), { signal, ...more });
const layersOf = (tag: string): readonly string[] => manifestOf(layout, tag).layers;
const inStore = (...parts: string[]): string => join(root, "gantry/lib/images", ...parts);
const listed = (dir: string): Promise<string[]> => readdir(inStore(dir)).catch(() => []);

/** Everything that a failed pull might leave to be seen. */
async function traces(): Promise<object> {
  const [blobs, roots, temporary] = await Promise.all([listed("blobs/sha256"), listed("roots"), listed("tmp")]);
  return { blobs: blobs.length, roots: roots.length, temporary: temporary.length, images: (await store.list()).length };
}
const NOTHING = { blobs: 0, roots: 0, temporary: 0, images: 0 };

describe("what comes in", () => {
  test("an image by its tag, with where it came from; asked for again, nothing is fetched", async () => {
    const seen: PullProgress[] = [];
    const image = await pull("app:one", { onProgress: (progress) => seen.push(progress) });
    const { digest } = manifestOf(layout, "one");
    expect(image).toMatchObject({ names: [named("app:one")], config: { cmd: ["/bin/cat", "/one"] } });
    expect(image.origins).toMatchObject([{ name: named("app:one"), digest, signers: [] }]);
    expect(await readFile(join(await store.rootfs(image.digest, signal), "one"), "utf8")).toBe("one\n");
    expect(seen[0]).toMatchObject({ stage: "waiting" });
    expect(seen.at(-1)).toMatchObject({ stage: "unpacking", layers: 2, totalLayers: 2 });
    const before = proxy.requests.length;
    expect(await pull("app:one")).toMatchObject({ digest: image.digest });
    expect(proxy.requests.slice(before).filter((line) => line.includes("/blobs/"))).toEqual([]);
    expect(await store.resolve(`${proxy.host}/app@${digest}`)).toMatchObject({ digest: image.digest });
  });

  test("layers that are held are not fetched again; a tag that moves brings the new image", async () => {
    const one = await pull("app:one");
    const two = await pull("app:two");
    const [base = "", own = ""] = layersOf("two");
    expect([proxy.fetched(base), proxy.fetched(own)]).toEqual([1, 1]);
    registry.push(layout, "one", "moving:v1");
    expect((await pull("moving:v1")).digest).toBe(one.digest);
    registry.push(layout, "two", "moving:v1");
    expect((await pull("moving:v1")).digest).toBe(two.digest);
    expect((await store.resolve(named("moving:v1")))?.digest).toBe(two.digest);
    expect((await store.list()).find(({ digest }) => digest === one.digest)?.names).toEqual([named("app:one")]);
  });

  test("Docker's own format, and digests", async () => {
    const image = await pull("docker:one");
    const [origin] = image.origins;
    const byDigest = `${proxy.host}/docker@${origin?.digest}`;
    expect(await store.resolve(byDigest)).toMatchObject({ digest: image.digest });
    const fresh = openStore(join(root, "other"));
    await mkdir(join(root, "other/gantry/etc"), { recursive: true });
    await writeFile(join(root, "other/gantry/etc/registries.conf"), insecure(proxy.host));
    expect(await fresh.pull(byDigest, { signal })).toMatchObject({ digest: image.digest, names: [byDigest] });
  });

  test("of several platforms this machine's; none is an error that lists them", async () => {
    registry.push(layout, "one", "multi:a");
    registry.push(layout, "two", "multi:b");
    const [one, two] = [manifestOf(layout, "one"), manifestOf(layout, "two")];
    const digest = await pushIndex(registry, "multi", "v1", { arm64: two, amd64: one, s390x: two });
    const image = await pull("multi:v1");
    expect(image.config.cmd).toEqual(["/bin/cat", "/one"]);
    expect(image.origins[0]?.digest).toBe(digest);
    expect(await store.resolve(`${proxy.host}/multi@${digest}`)).toMatchObject({ digest: image.digest });
    await pushIndex(registry, "multi", "foreign", { arm64: one, s390x: two });
    await expect(pull("multi:foreign")).rejects.toMatchObject({
      code: "image-missing",
      message: `image ${named("multi:foreign")} is not made for linux/amd64, but for linux/arm64, linux/s390x`,
    });
  });

  test("through a mirror, and through a proxy of the environment", async () => {
    const mirror = `[[registry]]\nlocation = "example.org/team"\n[[registry.mirror]]\nlocation = "${proxy.host}"\ninsecure = true\n`;
    await writeFile(join(etc, "registries.conf"), `${mirror}\n${insecure("registry.test")}`);
    const image = await store.pull("example.org/team/app:one", { signal });
    expect(image.names).toEqual(["example.org/team/app:one"]);
    process.env["HTTP_PROXY"] = `http://${proxy.host}`;
    try {
      expect(await store.pull("registry.test/app:one", { signal })).toMatchObject({ digest: image.digest });
      expect(proxy.proxied[0]).toMatch(/^http:\/\/registry\.test\/v2\//);
    } finally {
      delete process.env["HTTP_PROXY"];
    }
  });
});

describe("at the same time", () => {
  test("two who want the same share the work, one may leave; two stores both succeed", async () => {
    const [base = "", own = ""] = layersOf("two");
    proxy.lie = (path) => (path.endsWith(own) ? { type: "stall", bytes: 10 } : undefined);
    const leaves = new AbortController();
    const both = [pull("app:two"), pull("app:two", { signal: leaves.signal })] as const;
    const left = expect(both[1]).rejects.toMatchObject({ code: "cancelled" });
    await eventually(() => proxy.stalling, { what: "the pull" });
    leaves.abort();
    await left;
    const other = openStore(root);
    const alone = other.pull(named("app:two"), { signal });
    await eventually(() => proxy.fetched(own) === 2, { what: "the other store's pull" });
    proxy.release();
    expect((await both[0]).digest).toBe((await alone).digest);
    expect(proxy.fetched(base)).toBe(2);
    expect(await traces()).toMatchObject({ images: 1, roots: 1, temporary: 0 });
  });

  test("when nobody waits any more it ends, and the next pull goes on from there", async () => {
    const noise = layersOf("big").at(-1) ?? "";
    const [base = ""] = layersOf("big");
    proxy.lie = (path) => (path.endsWith(noise) ? { type: "stall", bytes: 1_000_000 } : undefined);
    const leaves = new AbortController();
    let seen: PullProgress | undefined;
    const gone = pull("app:big", {
      signal: leaves.signal,
      onProgress: (progress) => {
        seen = progress;
      },
    });
    const left = expect(gone).rejects.toMatchObject({ code: "cancelled" });
    await eventually(() => (seen?.bytes ?? 0) > 1_000_000 && seen?.layers === 2, { what: "two layers and a part" });
    leaves.abort();
    await left;
    await eventually(async () => (await listed("tmp")).length === 0, { what: "the end of the pull" });
    expect(await traces()).toEqual(NOTHING);
    proxy.release();
    await pull("app:big");
    expect([proxy.fetched(base), proxy.fetched(noise)]).toEqual([1, 2]);
    expect(await listed("downloads")).toEqual([]);
  });

  test("from one registry only so many at once", async () => {
    store = openStore(root, { pulls: { perRegistry: 1 } });
    proxy.lie = (path) => (path.endsWith("/manifests/one") ? { type: "stall", bytes: 0 } : undefined);
    const first = pull("app:one");
    await eventually(() => proxy.stalling, { what: "the first pull" });
    const stages: string[] = [];
    const second = pull("app:two", { onProgress: ({ stage }) => stages.push(stage) });
    await eventually(() => stages.length > 0);
    expect(stages).toEqual(["waiting"]);
    expect(proxy.requests.filter((line) => line.includes("/manifests/two"))).toEqual([]);
    proxy.release();
    await Promise.all([first, second]);
  });
});

describe("a registry that lies or fails", () => {
  const blob = (path: string): boolean => path.includes("/blobs/");
  const manifest = (path: string): boolean => path.includes("/manifests/");
  const only =
    (match: (path: string) => boolean, lie: ReturnType<Lie>): Lie =>
    (path) =>
      match(path) ? lie : undefined;
  const changed = (body: Buffer): Buffer => {
    const copy = Buffer.from(body);
    copy.writeUInt8(copy.readUInt8(copy.length - 1) ^ 1, copy.length - 1);
    return copy;
  };
  const cases: readonly (readonly [string, Lie, object])[] = [
    ["other bytes in a blob", only(blob, { type: "body", change: changed }), { code: "image-invalid" }],
    ["less than it announced", only(blob, { type: "body", change: (body) => body.subarray(0, 40) }), {}],
    [
      "a blob without an end",
      only(blob, { type: "endless" }),
      { code: "image-invalid", message: expect.stringContaining("more") },
    ],
    ["a break in the middle", only(blob, { type: "cut", bytes: 20 }), { code: "registry-failed" }],
    ["no blob", only(blob, { type: "status", status: 404 }), {}],
    ["a manifest that is none", only(manifest, { type: "body", change: () => Buffer.from("<html>") }), {}],
    ["404", only(manifest, { type: "status", status: 404 }), { code: "image-missing" }],
    [
      "401",
      () => ({ type: "status", status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }),
      { code: "registry-denied" },
    ],
    ["403", only(manifest, { type: "status", status: 403 }), { code: "registry-denied" }],
    ["500", () => ({ type: "status", status: 500 }), { code: "registry-failed" }],
    ["503 for a blob", only(blob, { type: "status", status: 503 }), { code: "registry-failed" }],
    [
      "429",
      () => ({ type: "status", status: 429, headers: { "retry-after": "0" } }),
      { code: "registry-failed", message: expect.stringContaining("429") },
    ],
  ];
  test.each(cases)("%s", async (_what, lie, error) => {
    proxy.lie = lie;
    const failure = await pull("app:one").then(
      () => "it came in",
      (thrown: unknown) => thrown,
    );
    expect(failure).toMatchObject({
      hint: expect.stringMatching(/\w/),
      message: expect.stringContaining(proxy.host),
      ...error,
    });
    expect(await traces()).toEqual(NOTHING);
  });

  test("once it is well again, what it failed at comes in", async () => {
    const [base = ""] = layersOf("one");
    proxy.lie = only((path) => path.endsWith(base), { type: "cut", bytes: 20 });
    await expect(pull("app:one")).rejects.toMatchObject({ code: "registry-failed" });
    proxy.lie = () => undefined;
    expect(await pull("app:one")).toMatchObject({ names: [named("app:one")] });
  });

  test("a digest that it has other content for", async () => {
    const { digest } = manifestOf(layout, "one");
    proxy.lie = only(manifest, { type: "body", change: (body) => Buffer.concat([body, Buffer.from(" ")]) });
    await expect(pull(`app@${digest}`)).rejects.toMatchObject({ code: "image-invalid" });
    expect(await traces()).toEqual(NOTHING);
  });

  test("one that stops sending is given up", async () => {
    store = openStore(root, { pulls: { stallMs: 600 } });
    const noise = layersOf("big").at(-1) ?? "";
    proxy.lie = only((path) => path.endsWith(noise), { type: "stall", bytes: 500_000 });
    await expect(pull("app:big")).rejects.toMatchObject({
      code: "timeout",
      message: expect.stringContaining("got nowhere"),
    });
    expect(await traces()).toEqual(NOTHING);
  });

  test("one that is not there", async () => {
    await writeFile(join(etc, "registries.conf"), "");
    await expect(store.pull("127.0.0.1:1/app:1", { signal })).rejects.toMatchObject({
      code: "registry-failed",
      message: expect.stringContaining("127.0.0.1:1 can't be reached"),
    });
    await expect(pull("app:one")).rejects.toMatchObject({ hint: expect.stringContaining("insecure = true") });
  });
});

describe("passwords and certificates", () => {
  let locked: Registry;
  beforeAll(async () => {
    locked = await Registry.start(join(shared, "locked"), { tls: true, password: true, storage: registry.storage });
  });
  afterAll(() => locked[Symbol.asyncDispose]());
  const joe = (password: string) => ({ username: "joe", password, from: `Secret ${password}` });

  test("an unknown authority, no password, a wrong one, and the right one among several", async () => {
    const name = `${locked.host}/app:one`;
    const ask = (...passwords: string[]) => store.pull(name, { signal, credentials: passwords.map(joe) });
    await expect(ask()).rejects.toMatchObject({ hint: expect.stringContaining(`certs.d/${locked.host}/ca.crt`) });
    locked.trustIn(etc);
    await expect(ask()).rejects.toMatchObject({
      code: "registry-denied",
      hint: expect.stringContaining("imagePullSecrets"),
    });
    await expect(ask("wrong")).rejects.toMatchObject({ code: "registry-denied" });
    await expect(ask("wrong", "worse")).rejects.toMatchObject({ message: expect.stringContaining("Secret wrong") });
    expect(await ask("wrong", "secret")).toMatchObject({ names: [name] });
  });

  test.each(["auth.json", "registries.d/company.json"])("the host's own, in %s", async (file) => {
    locked.trustIn(etc);
    await mkdir(join(etc, "registries.d"));
    await writeFile(join(etc, file), "{ nonsense");
    const ask = () => store.pull(`${locked.host}/app:one`, { signal });
    await expect(ask()).rejects.toMatchObject({ code: "config-missing", message: expect.stringContaining(file) });
    await writeFile(join(etc, file), dockerConfig(locked.host));
    await ask();
  });
});

describe("hostile and too large", () => {
  const limits: ImageStoreOptions["limits"] = { unpackedBytes: 4 << 20, entries: 100, inputBytes: 8 << 20 };
  const pushed = async (tag: string, tar: Buffer): Promise<void> => {
    await writeFile(join(root, "layer.tar"), tar);
    const dir = await makeLayout(join(root, "made"), { v1: [join(root, "layer.tar")] });
    registry.push(dir, "v1", `hostile:${tag}`);
    await rm(dir, { recursive: true });
  };

  test("layers that want out stay in", async () => {
    store = openStore(root, { limits });
    const outside = join(root, "outside");
    await mkdir(outside);
    await pushed(
      "out",
      craftTar([
        { name: "d", type: "2", link: outside },
        { name: "d/evil", text: "x" },
        { name: `${"../".repeat(20)}${outside.slice(1)}/evil`, text: "x" },
      ]),
    );
    await pull("hostile:out").catch(() => undefined);
    expect(await readdir(outside)).toEqual([]);
  });

  test("a bomb, and more files than allowed", async () => {
    store = openStore(root, { limits });
    await pushed("bomb", craftTar([{ name: "zeros", text: "\0".repeat(7 << 20) }]));
    await expect(pull("hostile:bomb")).rejects.toMatchObject({
      code: "image-invalid",
      message: expect.stringContaining("unpacks to more than"),
    });
    await pushed("many", craftTar(Array.from({ length: 200 }, (_, at) => ({ name: `f${at}` }))));
    await expect(pull("hostile:many")).rejects.toMatchObject({ message: expect.stringContaining("100 files") });
    expect(await traces()).toEqual(NOTHING);
    expect(await listed("downloads")).toEqual([]);
  });

  test("a full disk: nothing half-pulled shows, and what fits still comes in", async () => {
    const disk = join(root, "gantry");
    const conf = await readFile(join(etc, "registries.conf"));
    await exec("mount", ["-t", "tmpfs", "-o", "size=12m", "tmpfs", disk]);
    await mkdir(etc);
    await writeFile(join(etc, "registries.conf"), conf);
    await expect(pull("app:big")).rejects.toMatchObject({
      code: "disk-full",
      hint: expect.stringContaining("Free some"),
    });
    expect(await traces()).toEqual(NOTHING);
    expect(await listed("downloads")).toEqual([]);
    await pull("app:one");
  });
});
