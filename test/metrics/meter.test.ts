import { expect, test } from "vitest";
import { cpuNsOf, memoryOf } from "../../src/metrics/host.ts";
import { createMeter } from "../../src/metrics/meter.ts";
import type { PodState } from "../../src/pod/contract.ts";
import { createMemoryDriver } from "../../src/sandbox/memory/index.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { runningPod } from "./running-pod.ts";

test("measures over a second, or since the last answer; nothing while nobody asks", async () => {
  const clock = new ManualClock();
  const pod = runningPod(clock);
  let asked = 0;
  const used = { cpuNs: 0, memory: 10 };
  const driver = {
    ...createMemoryDriver({ clock }),
    stats: async () => {
      asked += 1;
      return { timestamp: clock.now(), cpuUsageNs: used.cpuNs, memoryBytes: used.memory, processes: 1 };
    },
  };
  const read = (path: string): string =>
    path === "/proc/stat"
      ? `cpu  ${Math.round((clock.now() - 1_700_000_000_000) / 20)} 0 0 0 0 0 0 0 0 0\n`
      : "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 100 kB\n";
  const meter = createMeter({ pods: () => [pod], driverFor: () => driver, read, node: "host", clock });
  const settle = async (): Promise<void> => void (await new Promise((resolve) => setImmediate(resolve)));
  clock.advance(10_000);
  expect(asked).toBe(0);

  const both = Promise.all([meter(), meter()]);
  await settle();
  used.cpuNs = 250_000_000;
  clock.advance(1000);
  const [first, second] = await both;
  expect(second).toBe(first);
  expect(asked).toBe(2);
  expect(first.windowMs).toBe(1000);
  expect(first.node).toEqual({ name: "host", cpuNano: 500_000_000, memoryBytes: 600 * 1024 });
  expect(first.pods).toEqual([
    {
      namespace: "default",
      name: "web",
      labels: { app: "web" },
      containers: [{ name: "app", cpuNano: 250_000_000, memoryBytes: 10 }],
    },
  ]);

  clock.advance(500);
  expect(await meter()).toBe(first);
  clock.advance(9500);
  used.cpuNs = 5_250_000_000;
  const later = await meter();
  expect([later.windowMs, later.pods[0]?.containers[0]?.cpuNano]).toEqual([10_000, 500_000_000]);
});

test("a container that has just started, one that can't be asked, and one that ended", async () => {
  const clock = new ManualClock();
  let pods = [] as PodState[];
  let answers = true;
  const driver = {
    ...createMemoryDriver({ clock }),
    stats: async () => {
      if (!answers) throw new Error("silent");
      return { timestamp: clock.now(), cpuUsageNs: 1_000_000_000, memoryBytes: 1, processes: 1 };
    },
  };
  const meter = createMeter({ pods: () => pods, driverFor: () => driver, read: () => "", node: "host", clock });
  const ask = async () => {
    const answer = meter();
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(1000);
    return (await answer).pods;
  };
  expect(await ask()).toEqual([]);
  clock.advance(8000);
  pods = [runningPod(clock)];
  clock.advance(2000);
  const fresh = await meter();
  expect(fresh.pods[0]?.containers[0]?.cpuNano).toBe(500_000_000);
  clock.advance(5000);
  answers = false;
  expect((await meter()).pods).toEqual([]);
});

test("/proc/stat and /proc/meminfo", () => {
  expect(cpuNsOf("cpu  100 10 50 9999 888 5 5 30 77 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n")).toBe(2_000_000_000);
  const text = "MemTotal:       1000 kB\nMemFree:         200 kB\nInactive:        500 kB\nInactive(file):  100 kB\n";
  expect(memoryOf(text)).toEqual({ totalBytes: 1_024_000, availableBytes: 300 * 1024, freeBytes: 200 * 1024 });
  expect(memoryOf("")).toEqual({ totalBytes: 0, availableBytes: 0, freeBytes: 0 });
});
