import { describe, expect, test } from "vitest";
import { type GcSettings, imageNamesIn, planImages } from "../../src/gc/index.ts";
import type { StoreUsage } from "../../src/image/contract.ts";

type ImageUsage = StoreUsage["images"][number];
const NOW = 1_000_000_000;
const SETTINGS: GcSettings = { highPercent: 85, lowPercent: 80, minAgeMs: 120_000, maxAgeMs: 0, imported: false };

function image(name: string, more: Partial<ImageUsage> = {}): ImageUsage {
  return {
    digest: `sha256:${name}`,
    names: [`example.com/${name}:1`],
    aliases: [],
    createdAt: 0,
    lastUsedAt: NOW - 600_000,
    imported: false,
    rootBytes: 10,
    blobs: [{ digest: `sha256:layer-${name}`, bytes: 10 }],
    ...more,
  };
}

function plan(
  images: readonly ImageUsage[],
  availableBytes: number,
  settings: Partial<GcSettings> = {},
  needed: readonly string[] = [],
) {
  const usage = { images, disk: { totalBytes: 1000, availableBytes } };
  const { removals, wantedBytes } = planImages(
    usage,
    ({ digest }) => needed.includes(digest),
    { ...SETTINGS, ...settings },
    NOW,
  );
  return {
    removed: removals.map(({ digest, why, freesBytes }) => `${digest.slice(7)} ${why} ${freesBytes}`),
    wantedBytes,
  };
}

describe("by the disk", () => {
  test("nothing goes below the high mark", () => {
    expect(plan([image("a")], 151)).toEqual({ removed: [], wantedBytes: 0 });
  });
  test("at it, as much as brings it to the low one, the longest unused first", () => {
    const images = [image("new"), image("old", { lastUsedAt: 1 }), image("older", { lastUsedAt: 1, createdAt: -1 })];
    expect(plan(images, 150)).toEqual({ removed: ["older disk 20", "old disk 20", "new disk 20"], wantedBytes: 50 });
    expect(plan(images, 140).wantedBytes).toBe(60);
    expect(plan(images, 150, { lowPercent: 83 })).toEqual({ removed: ["older disk 20"], wantedBytes: 20 });
  });
  test("what a pod needs, what is young and what was imported stays", () => {
    const images = [image("needed"), image("young", { lastUsedAt: NOW - 1000 }), image("imported", { imported: true })];
    expect(plan(images, 0, {}, ["sha256:needed"]).removed).toEqual([]);
    expect(plan(images, 0, { imported: true }, ["sha256:needed"]).removed).toEqual(["imported disk 20"]);
  });
  test("a layer counts with the last image that has it", () => {
    const blobs = [{ digest: "sha256:shared", bytes: 100 }];
    const images = [
      image("a", { blobs, lastUsedAt: 1 }),
      image("b", { blobs, lastUsedAt: 2 }),
      image("c", { blobs, lastUsedAt: 3 }),
    ];
    expect(plan(images, 0).removed).toEqual(["a disk 10", "b disk 10", "c disk 110"]);
    expect(plan(images, 0, {}, ["sha256:c"]).removed).toEqual(["a disk 10", "b disk 10"]);
  });
  test("a disk that tells nothing is not full", () => {
    const usage = { images: [image("a")], disk: { totalBytes: 0, availableBytes: 0 } };
    expect(planImages(usage, () => false, SETTINGS, NOW).removals).toEqual([]);
  });
});

test("by age, and when another image has the name, however much room there is", () => {
  const images = [image("old", { lastUsedAt: 0 }), image("nameless", { names: [], imported: true }), image("used")];
  expect(plan(images, 900).removed).toEqual(["nameless superseded 20"]);
  expect(plan(images, 900, { maxAgeMs: 700_000 }).removed).toEqual(["old old 20", "nameless superseded 20"]);
  expect(plan(images, 900, {}, ["sha256:nameless"]).removed).toEqual([]);
});

test("the images that manifests of any kind name", () => {
  const containers = [{ image: "a" }, { image: "b", env: [{ name: "image", value: "no" }] }];
  expect(
    imageNamesIn([
      {
        kind: "Pod",
        metadata: { annotations: { image: "no" } },
        spec: {
          containers,
          initContainers: [{ image: "c" }],
          volumes: [
            { name: "i", image: { reference: "e" } },
            { name: "x", emptyDir: {} },
            { name: "y", image: {} },
          ],
        },
      },
      { kind: "CronJob", spec: { jobTemplate: { spec: { template: { spec: { containers: [{ image: "d" }] } } } } } },
      { kind: "ConfigMap", data: { containers: [{ image: "no" }] } },
      null,
    ]),
  ).toEqual(["a", "b", "c", "e", "d"]);
});
