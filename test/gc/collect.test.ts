import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { collectGarbage, type GcReport, type GcSettings, type Needs } from "../../src/gc/index.ts";
import { createImageStore, type ImageStore } from "../../src/image/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout } from "../../src/system/paths.ts";

/** A real store; what the disk says is made up. */
let root: string;
let store: ImageStore;
let named: Set<string> | undefined;
let used: Set<string>;
const signal = new AbortController().signal;
const LATER = (): number => Date.now() + 3_600_000;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-gc-"));
  store = createImageStore({ paths: layout(root), log: silentLogger(), clock: systemClock, format: "tree" });
  named = new Set();
  used = new Set();
});
afterEach(() => rmSync(root, { recursive: true }));

async function bring(name: string, text: string): Promise<string> {
  const tree = join(root, "tree");
  mkdirSync(tree, { recursive: true });
  writeFileSync(join(tree, "file"), text);
  return (await store.import(tree, name, signal)).digest;
}

const FULL: GcSettings = { highPercent: 1, lowPercent: 1, minAgeMs: 60_000, maxAgeMs: 0, imported: true };

async function collect(
  settings: Partial<GcSettings> = {},
  dryRun = false,
  images: ImageStore = store,
): Promise<GcReport> {
  const needs: Needs = { names: () => named, digests: () => used };
  const options = { images, needs, settings: { ...FULL, ...settings }, podLogs: layout(root).podLogs, dryRun };
  return await collectGarbage({ ...options, now: LATER(), log: silentLogger() });
}

const names = async (): Promise<string[]> => (await store.list()).flatMap((image) => image.names);
const removed = (report: GcReport): string[] => report.removed.flatMap((one) => one.names);

test("what nothing names or uses goes; a dry run only says so", async () => {
  const digest = await bring("localhost/used:1", "used");
  await bring("localhost/named:1", "named");
  await bring("localhost/unused:1", "unused");
  named?.add("localhost/named:1");
  used.add(digest);
  const dry = await collect({}, true);
  expect(removed(dry)).toEqual(["localhost/unused:1"]);
  expect(dry.freedBytes).toBeGreaterThan(0);
  expect(await names()).toHaveLength(3);
  expect(removed(await collect())).toEqual(["localhost/unused:1"]);
  expect(await names()).toEqual(["localhost/named:1", "localhost/used:1"]);
  expect(readdirSync(join(layout(root).images, "blobs/sha256"))).toHaveLength(6);
});

test("a name by digest, or in its short form, is a name", async () => {
  const digest = await bring("docker.io/library/short:latest", "short");
  const { manifest } = await import("../../src/image/index-file.ts").then(async ({ IndexFile }) => {
    const [record] = await new IndexFile(layout(root).images, silentLogger()).read();
    return { manifest: record?.manifest };
  });
  for (const name of ["short", `short@${manifest}`, digest]) {
    named = new Set([name, "Not A Name"]);
    expect(removed(await collect())).toEqual([]);
  }
});

test("nothing goes while the manifests can't be read", async () => {
  await bring("localhost/unused:1", "unused");
  named = undefined;
  expect(await collect()).toMatchObject({ removed: [], held: expect.stringContaining("not all manifests") });
});

test("imported images stay by default; those that lost their name go", async () => {
  await bring("localhost/app:1", "one");
  await bring("localhost/app:1", "two");
  const report = await collect({ imported: false });
  expect(report.removed.map(({ why, names: all }) => [why, all])).toEqual([["superseded", []]]);
  expect(await names()).toEqual(["localhost/app:1"]);
});

test("one that is busy holds up no other, and goes with the next round", async () => {
  await bring("localhost/busy:1", "busy");
  await bring("localhost/idle:1", "idle");
  let busy = true;
  const stubborn: ImageStore = Object.create(store, {
    remove: {
      value: async (digest: string, inUse: Parameters<ImageStore["remove"]>[1]) => {
        const image = (await store.list()).find((one) => one.digest === digest);
        if (busy && image?.names[0] === "localhost/busy:1")
          throw Object.assign(new Error("EBUSY: resource busy or locked"), { code: "EBUSY" });
        await store.remove(digest, inUse);
      },
    },
    ...Object.fromEntries(
      (["usage", "touch", "sweep"] as const).map((method) => [method, { value: store[method].bind(store) }]),
    ),
  });
  const report = await collect({}, false, stubborn);
  expect(report.failed).toEqual([{ what: "localhost/busy:1", why: expect.stringContaining("EBUSY") }]);
  expect(removed(report)).toEqual(["localhost/idle:1"]);
  busy = false;
  expect(removed(await collect({}, false, stubborn))).toEqual(["localhost/busy:1"]);
});

test("a pod that comes for an image just before it would go keeps it", async () => {
  const digest = await bring("localhost/late:1", "late");
  const needs: Needs = { names: () => named, digests: () => used };
  const late: Needs = {
    names: needs.names,
    digests() {
      const before = new Set(used);
      used.add(digest);
      return before;
    },
  };
  const options = { images: store, settings: FULL, podLogs: layout(root).podLogs, dryRun: false, log: silentLogger() };
  expect((await collectGarbage({ ...options, needs: late, now: LATER() })).removed).toEqual([]);
  expect(await names()).toEqual(["localhost/late:1"]);
});

test("rotated logs go, the oldest first; what is being written stays", async () => {
  const dir = join(layout(root).podLogs, "default_web_uid/app");
  mkdirSync(dir, { recursive: true });
  for (const [at, name] of ["0.log", "0.log.20260101-000000", "0.log.20260102-000000", "1.log"].entries()) {
    writeFileSync(join(dir, name), "line\n");
    utimesSync(join(dir, name), at + 1, at + 1);
  }
  expect((await collect({ highPercent: 100, maxAgeMs: 0 })).logs).toEqual([]);
  expect((await collect({}, true)).logs).toHaveLength(2);
  expect((await collect({ highPercent: 100, maxAgeMs: LATER() - 2500 })).logs).toEqual([
    join(dir, "0.log.20260101-000000"),
  ]);
  expect((await collect()).logs).toEqual([join(dir, "0.log.20260102-000000")]);
  expect(readdirSync(dir)).toEqual(["0.log", "1.log"]);
});
