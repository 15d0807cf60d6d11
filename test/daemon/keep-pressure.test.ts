import { afterEach, beforeEach, expect, test } from "vitest";
import { keepPressure, type PressureKeeper } from "../../src/daemon/keep-pressure.ts";
import type { Observations } from "../../src/eviction/thresholds.ts";
import type { NewEvent } from "../../src/store/contract.ts";
import { silentLogger } from "../../src/system/log.ts";
import { desiredPod, Harness } from "../pod/harness.ts";

const off = { nodefsAvailable: "0", nodefsInodesFree: "0", imagefsAvailable: "0", imagefsInodesFree: "0" };
let h: Harness;
let keeper: PressureKeeper;
let available: { memory: number; disk: number };
let collected: number;
let nodeEvents: NewEvent[];
/** What a pod uses, by the name of its pod. */
let used: Record<string, number>;

beforeEach(() => {
  h = new Harness();
  available = { memory: 100, disk: 100 };
  collected = 0;
  nodeEvents = [];
  used = {};
  const observe = async (): Promise<Observations> => ({
    memoryAvailable: { capacity: 1000, available: available.memory },
    nodefsAvailable: { capacity: 1000, available: available.disk },
  });
  keeper = keepPressure({
    settings: {
      thresholds: { ...off, memoryAvailable: "50", nodefsAvailable: "50" },
      minimumReclaim: { ...off, memoryAvailable: "0" },
      transitionMs: 30_000,
    },
    intervalMs: 10_000,
    observe,
    supervisor: () => h.supervisor,
    driverFor: () => ({
      ...h.driver,
      podStats: async (id) => {
        const name = [...h.world.sandboxes.values()].find(({ config }) => config.id === id)?.config.pod.name ?? "";
        return { timestamp: 0, cpuUsageNs: 0, memoryBytes: used[name] ?? 0, processes: 1 };
      },
    }),
    event: (event) => nodeEvents.push(event),
    node: "host",
    clock: h.clock,
    log: silentLogger(),
  });
  h.pressure = (pod) => keeper.refuses(pod);
});
afterEach(async () => {
  keeper.end();
  await h.close();
});

const collect = async (): Promise<void> => {
  collected += 1;
};
const pod = (name: string, spec: object = {}) => desiredPod(spec, { name });
const burstable = { containers: [{ name: "app", image: "app", resources: { requests: { memory: "1Mi" } } }] };
const failures = () => h.supervisor.list().map(({ desired, failure }) => [desired.pod.metadata.name, failure?.reason]);

test("memory: the hungriest goes, and only as many as it takes; none that asks for nothing starts until it is over", async () => {
  for (const name of ["a", "b"]) await h.ensure(pod(name), `uid-${name}`);
  used = { a: 10, b: 20 };
  keeper.begin(collect);
  available.memory = 40;
  h.onEvicted = () => {
    available.memory = 90;
  };
  await h.pass(10_000);
  await h.pass(1);
  expect(failures()).toEqual([
    ["a", undefined],
    ["b", "Evicted"],
  ]);
  expect(collected).toBe(0);
  expect(h.supervisor.get("uid-b")).toMatchObject({ stage: "completed", released: true, sandbox: undefined });
  expect(h.supervisor.get("uid-b")?.failure?.message).toMatch(
    /^The node was low on resource: memory\. Threshold quantity: 50, available: 40\./,
  );
  expect(nodeEvents.map(({ reason }) => reason)).toEqual(["NodeHasInsufficientMemory", "EvictionThresholdMet"]);

  h.supervisor.ensure(pod("c"), "uid-c", []);
  h.supervisor.ensure(pod("critical", { priorityClassName: "system-node-critical" }), "uid-d", []);
  h.supervisor.ensure(pod("burstable", burstable), "uid-e", []);
  await h.settle();
  expect(h.supervisor.get("uid-c")?.problem).toEqual({
    reason: "NodeUnderPressure",
    message: "The node had condition: [MemoryPressure]; the pod starts when that is over.",
  });
  for (const uid of ["uid-d", "uid-e"]) expect(h.supervisor.get(uid)?.stage).toBe("running");
  await h.pass(50_000);
  expect(h.supervisor.get("uid-c")?.stage).toBe("running");
  expect(nodeEvents.at(-1)?.reason).toBe("NodeHasSufficientMemory");
});

test("a disk: garbage first; where that is enough nobody goes", async () => {
  await h.ensure(pod("a"), "uid-a");
  keeper.begin(async () => {
    collected += 1;
    available.disk = 60;
  });
  available.disk = 40;
  await h.pass(10_000);
  await h.pass(1);
  expect([collected, failures()]).toEqual([1, [["a", undefined]]]);
  expect(keeper.now().disk.holds).toBe(true);
});

test("a disk: what is not enough costs a pod, whose files go at once", async () => {
  await h.ensure(pod("a", { volumes: [{ name: "v", emptyDir: {} }] }), "uid-a");
  h.volumeUsage = { v: 5 };
  expect(h.volumesOf.has("uid-a")).toBe(true);
  keeper.begin(collect);
  available.disk = 40;
  h.onEvicted = () => {
    available.disk = 90;
  };
  await h.pass(10_000);
  await h.pass(1);
  expect([collected, failures()]).toEqual([1, [["a", "Evicted"]]]);
  expect(h.volumesOf.has("uid-a")).toBe(false);
  expect(h.supervisor.get("uid-a")?.failure?.message).toContain("low on resource: ephemeral-storage");
});

test("short of disk space nobody starts; when memory alone is short, who requests some does", async () => {
  available = { memory: 40, disk: 40 };
  keeper.begin(async () => {
    available.disk = 90;
  });
  await h.pass(10_000);
  h.supervisor.ensure(pod("burstable", burstable), "uid-a", []);
  h.supervisor.ensure(pod("best-effort"), "uid-b", []);
  await h.settle();
  expect(h.supervisor.get("uid-a")?.problem?.message).toContain("[MemoryPressure, DiskPressure]");
  available.disk = 90;
  await h.pass(50_000);
  expect(keeper.now()).toMatchObject({ memory: { holds: true }, disk: { holds: false } });
  expect(h.supervisor.get("uid-a")?.stage).not.toBe("preparing");
  expect(h.supervisor.get("uid-b")?.problem?.reason).toBe("NodeUnderPressure");
});

test("with nobody to evict it goes on looking", async () => {
  keeper.begin(async () => undefined);
  available.memory = 1;
  await h.pass(30_000);
  expect(nodeEvents.map(({ reason }) => reason)).toContain("EvictionThresholdMet");
  available.memory = 900;
  await h.pass(50_000);
  expect(keeper.now().memory.holds).toBe(false);
});
