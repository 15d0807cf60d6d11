import { describe, expect, it, test } from "vitest";
import { observeNode } from "../../src/eviction/observe.ts";
import { type Candidate, evictionMessage, priorityOf, ranked } from "../../src/eviction/rank.ts";
import {
  amountOf,
  conditionNames,
  noPressure,
  type Pressure,
  type PressureSettings,
  pressureAfter,
} from "../../src/eviction/thresholds.ts";
import { pod as podSchema } from "../../src/manifest/schema/index.ts";

const Mi = 2 ** 20;
const none = {
  memoryAvailable: "0",
  nodefsAvailable: "0",
  nodefsInodesFree: "0",
  imagefsAvailable: "0",
  imagefsInodesFree: "0",
};
const settings: PressureSettings = {
  thresholds: { ...none, memoryAvailable: "100Mi", nodefsAvailable: "10%" },
  minimumReclaim: { ...none, memoryAvailable: "50Mi" },
  transitionMs: 60_000,
};

test.each([
  ["0", 100, 0],
  ["7", 100, 7],
  ["100Mi", 1, 100 * Mi],
  ["10%", 1000, 100],
  ["2.5%", 1000, 25],
  ["100%", 1000, undefined],
  ["-1", 1, undefined],
  ["1.5Gi", 1, undefined],
  ["lots", 1, undefined],
])("amount %s of %d is %s", (text, capacity, amount) => expect(amountOf(text, capacity)).toBe(amount));

describe("pressure", () => {
  const memory = (available: number) => ({ memoryAvailable: { capacity: 1000 * Mi, available: available * Mi } });
  /** [seconds, memory in MiB, met, conditions] */
  const steps: [number, number, string[], string[]][] = [
    [0, 200, [], []],
    [10, 99, ["memoryAvailable"], ["MemoryPressure"]],
    [20, 120, ["memoryAvailable"], ["MemoryPressure"]], // not yet 50Mi more than the threshold
    [30, 150, [], ["MemoryPressure"]],
    [79, 150, [], ["MemoryPressure"]],
    [80, 120, [], []], // above the threshold, and the wish for more is over
  ];
  it("begins below the threshold, ends with enough above it, and its condition a while later", () => {
    let pressure: Pressure = noPressure(0);
    for (const [seconds, available, met, conditions] of steps) {
      pressure = pressureAfter(pressure, memory(available), settings, seconds * 1000);
      expect([[...pressure.met], conditionNames(pressure)], `at ${seconds} s`).toEqual([met, conditions]);
    }
    expect(pressure.memory).toEqual({ holds: false, since: 80_000 });
  });

  it("a disk by its share; what can't be seen, or is turned off, is no reason", () => {
    const disk = (available: number) => ({
      nodefsAvailable: { capacity: 1000, available },
      nodefsInodesFree: { capacity: 1000, available: 0 },
    });
    expect(conditionNames(pressureAfter(noPressure(0), disk(100), settings, 0))).toEqual([]);
    expect(conditionNames(pressureAfter(noPressure(0), disk(99), settings, 0))).toEqual(["DiskPressure"]);
    expect(conditionNames(pressureAfter(noPressure(0), {}, settings, 0))).toEqual([]);
  });

  it("is read from /proc/meminfo and statfs", async () => {
    const figures = { bsize: 4096, blocks: 100, bavail: 10, files: 0, ffree: 0 };
    const seen = await observeNode({
      nodefs: "/lib",
      imagefs: "/images",
      read: () => "MemTotal: 1000 kB\nMemFree: 10 kB\nInactive(file): 5 kB\n",
      statfs: (path) => (path === "/lib" ? Promise.resolve(figures) : Promise.reject(new Error("ENOENT"))),
    });
    expect(seen).toEqual({
      memoryAvailable: { capacity: 1_024_000, available: 15_360 },
      nodefsAvailable: { capacity: 409_600, available: 40_960 },
    });
  });
});

const Resources = {
  guaranteed: { limits: { cpu: "1", memory: "100Mi" } },
  burstable: { requests: { memory: "50Mi" } },
  bestEffort: {},
};

function candidate(uid: string, used: number, resources: object, spec: object = {}): Candidate {
  const pod = podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: uid },
    spec: { containers: [{ name: "app", image: "a:1", resources }], ...spec },
  });
  return { uid, pod, used: used * Mi, containers: { app: used * Mi } };
}

const { guaranteed, burstable, bestEffort } = Resources;

describe("who goes first", () => {
  const cases: [string, Candidate[], string[]][] = [
    [
      "who exceeds what was requested, by how much; then the others",
      [
        candidate("guaranteed", 90, guaranteed),
        candidate("within", 40, burstable),
        candidate("beyond", 80, burstable),
        candidate("best", 60, bestEffort),
        candidate("little", 5, bestEffort),
      ],
      ["best", "beyond", "little", "guaranteed", "within"],
    ],
    [
      "the lesser priority before the hungrier",
      [candidate("high", 900, bestEffort, { priority: 10 }), candidate("low", 5, bestEffort)],
      ["low", "high"],
    ],
    [
      "an important one that exceeds its request before an unimportant one that does not",
      [candidate("modest", 40, burstable), candidate("greedy", 60, burstable, { priority: 1000 })],
      ["greedy", "modest"],
    ],
    [
      "never the critical",
      [
        candidate("named", 900, bestEffort, { priorityClassName: "system-node-critical" }),
        candidate("numbered", 900, bestEffort, { priority: 2_000_000_000 }),
        candidate("other", 1, bestEffort, { priorityClassName: "mine" }),
      ],
      ["other"],
    ],
    [
      "a request of the pod as a whole, and its overhead, count",
      [
        candidate("whole", 60, {}, { resources: { requests: { memory: "80Mi" } } }),
        candidate("over", 60, burstable, { overhead: { memory: "20Mi" } }),
        candidate("plain", 60, burstable),
      ],
      ["plain", "over", "whole"],
    ],
    ["nobody", [], []],
  ];
  it.each(cases)("%s", (_name, candidates, order) => {
    expect(ranked(candidates, "memory").map(({ uid }) => uid)).toEqual(order);
    expect(ranked(candidates.toReversed(), "memory").map(({ uid }) => uid)).toEqual(order);
  });

  it("nobody requests inodes", () => {
    const all = [candidate("few", 1, guaranteed), candidate("many", 9, bestEffort)];
    expect(ranked(all, "inodes").map(({ uid }) => uid)).toEqual(["many", "few"]);
  });

  it("priorities have names", () => {
    expect(priorityOf(candidate("a", 0, {}, { priorityClassName: "system-cluster-critical" }).pod)).toBe(2_000_000_000);
    expect(priorityOf(candidate("a", 0, {}, { priorityClassName: "mine", priority: 7 }).pod)).toBe(7);
  });
});

test("the message is the kubelet's", () => {
  const observation = { available: 50 * Mi, capacity: 1000 * Mi };
  expect(evictionMessage(candidate("a", 80, burstable), "memory", 100 * Mi, observation)).toBe(
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. Container app was using 80Mi, request is 50Mi, has larger consumption of memory.",
  );
  expect(evictionMessage(candidate("a", 8, guaranteed), "inodes", 7, { available: 5, capacity: 9 })).toBe(
    "The node was low on resource: inodes. Threshold quantity: 7, available: 5.",
  );
});
