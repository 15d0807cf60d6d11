import { expect, test } from "vitest";
import { shapeFor } from "../../../src/sandbox/microvm/shape.ts";
import {
  allocateSlots,
  freeLogPort,
  imageSlots,
  isLastOnDisk,
  type SlotUse,
} from "../../../src/sandbox/microvm/slots.ts";

const shape = { memoryMiB: 128, vcpus: 1, disks: 2, logPorts: 3 };
const use = (id: string, imageDigest: string, disk: number, logPort: number, ended = false): SlotUse => ({
  ...{ id, imageDigest, disk, logPort, ended },
});

test("containers of one image share its disk, each has a port of its own", () => {
  expect(allocateSlots(shape, [], "x")).toEqual({ disk: 0, logPort: 0 });
  expect(allocateSlots(shape, [use("a", "x", 0, 0)], "x")).toEqual({ disk: 0, logPort: 1 });
  expect(allocateSlots(shape, [use("a", "x", 1, 1)], "y")).toEqual({ disk: 0, logPort: 0 });
});

test("one that has ended needs its disk until it is removed, but no port", () => {
  const used = [use("a", "x", 0, 0, true), use("b", "y", 1, 1)];
  expect(allocateSlots(shape, used, "x")).toEqual({ disk: 0, logPort: 0 });
  expect(() => allocateSlots(shape, used, "z")).toThrow(/2 different images/);
  expect(isLastOnDisk(used, "a", 0)).toBe(true);
  expect(isLastOnDisk([...used, use("c", "x", 0, 2)], "a", 0)).toBe(false);
});

test("image volumes have the last disks, each image once", () => {
  const volume = (name: string, imageDigest?: string) => ({
    ...{ name, kind: "image" as const, hostPath: "/x" },
    ...(imageDigest === undefined ? {} : { imageDigest }),
  });
  const volumes = [volume("a", "x"), volume("b"), volume("c", "y"), volume("d", "x")];
  expect([...imageSlots({ config: { volumes }, shape: { ...shape, disks: 8 } })]).toEqual([
    ["x", 7],
    ["y", 6],
  ]);
});

test("no port is given twice, and one is left to change to", () => {
  const used = [use("a", "x", 0, 2), use("b", "x", 0, 0)];
  expect(freeLogPort(shape, used)).toBe(1);
  const all = [...used, use("c", "x", 0, 1)];
  expect(freeLogPort(shape, all)).toBeUndefined();
  expect(() => allocateSlots(shape, used, "x")).toThrow(/2 running containers/);
});

test.each([
  [{}, 128, 1],
  [{ memoryLimitBytes: 16 << 20 }, 128, 1],
  [{ memoryLimitBytes: 100 << 20, cpuQuotaUs: 150_000 }, 192, 2],
  [{ memoryLimitBytes: 2 ** 30, cpuQuotaUs: 900_000, cpuPeriodUs: 100_000 }, 1152, 4],
])("a pod with %o gets %d MiB and %d CPUs", (resources, memoryMiB, vcpus) => {
  expect(shapeFor({ resources }, 4, { memoryMiB: 128, vcpus: 1 })).toMatchObject({ memoryMiB, vcpus });
});

const none = { bytes: 0, open: true };
const some = (mib: number, open = false) => ({ bytes: mib << 20, open });

test.each([
  ["nothing is asked for", { memory: none, cpu: { milli: 0, open: true } }, {}, 256, 2],
  ["one of two has a limit", { memory: some(512, true), cpu: { milli: 2500, open: true } }, {}, 832, 3],
  ["all have limits", { memory: some(100), cpu: { milli: 500, open: false } }, {}, 192, 1],
  [
    "the annotations say it",
    { memory: some(100), cpu: { milli: 500, open: false } },
    { memoryMiB: 100, vcpus: 9 },
    100,
    9,
  ],
  ["one annotation says it", { memory: some(100), cpu: { milli: 500, open: false } }, { vcpus: 2 }, 192, 2],
])("where %s, the defaults fill in", (_, demand, vm, memoryMiB, vcpus) => {
  const defaults = { memoryMiB: 256, vcpus: 2 };
  expect(shapeFor({ resources: {}, demand, vm }, 4, defaults)).toMatchObject({ memoryMiB, vcpus });
});
