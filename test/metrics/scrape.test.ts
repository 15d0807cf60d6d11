import { expect, test } from "vitest";
import { nodeObject } from "../../src/daemon/node.ts";
import { createDiskUse } from "../../src/metrics/disk-use.ts";
import { Histogram } from "../../src/metrics/exposition.ts";
import { createOperations } from "../../src/metrics/operations.ts";
import { createRecorder } from "../../src/metrics/recorder.ts";
import { type Scrape, type ScrapeParts, scrape } from "../../src/metrics/scrape.ts";
import { diskOfV1, diskOfV2, throttlingOf } from "../../src/sandbox/cgroup/stats.ts";
import type { ContainerStats, SandboxDriver } from "../../src/sandbox/driver.ts";
import { createMemoryDriver } from "../../src/sandbox/memory/index.ts";
import { parseNetDev } from "../../src/sandbox/network-stats.ts";
import { GantryError } from "../../src/system/errors.ts";
import { CliBackend } from "../cli/support/backend.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { readMetrics } from "../support/prometheus.ts";
import { runningPod } from "./running-pod.ts";

const NET_DEV = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo: 99 1 0 0 0 0 0 0 99 1 0 0 0 0 0 0
  eth0:1234 12 1 2 0 0 0 0 5678 56 3 4 0 0 0 0
veth12: 7 7 0 0 0 0 0 0 7 7 0 0 0 0 0 0
`;
const FILES: Readonly<Record<string, string>> = {
  "/proc/stat": "cpu  100 0 0 0 0 0 0 0 0 0\n",
  "/proc/meminfo": "MemTotal: 1000 kB\nMemFree: 300 kB\nInactive(file): 100 kB\n",
  "/proc/net/dev": NET_DEV,
  "/proc/self/status": "VmRSS:\t 10 kB\nVmSize:\t 20 kB\n",
  "/proc/self/limits": "Max open files            1024                 4096                 files\n",
};
const USED: Omit<ContainerStats, "timestamp"> = {
  ...{
    cpuUsageNs: 2_500_000_000,
    memoryBytes: 10,
    memoryUsageBytes: 15,
    memoryRssBytes: 7,
    memoryCacheBytes: 5,
    processes: 2,
  },
  throttling: { periods: 10, throttledPeriods: 4, throttledNs: 1_500_000_000 },
  disk: { readBytes: 100, writtenBytes: 200, reads: 1, writes: 2 },
};

function parts(driver: Partial<SandboxDriver> = {}): ScrapeParts {
  const clock = new ManualClock();
  const limits = { cpu: "500m", memory: "1Mi" };
  const pod = runningPod(clock, { resources: { limits } });
  const used = async () => ({ timestamp: clock.now(), ...USED });
  const traffic = { bytes: 1, packets: 2, errors: 3, dropped: 4 };
  const all: SandboxDriver = {
    ...createMemoryDriver({ clock }),
    stats: used,
    podStats: used,
    networkStats: async () => [{ name: "eth0", received: traffic, sent: { ...traffic, bytes: 9 } }],
    ...driver,
  };
  const fine = { holds: false, since: 0 };
  const backend = new CliBackend();
  return {
    pods: () => [pod],
    objects: () => [
      backend.set({ name: "web" }),
      backend.set({ name: "slow", phase: "Pending", waiting: 'b\\ad\n"reason' }),
    ],
    driverFor: () => all,
    read: (path) => FILES[path] ?? "",
    node: "host",
    clock,
    describedNode: () =>
      nodeObject({ name: "host", ip: "10.0.0.1", cpus: 2, memoryBytes: 1024 }, { startedAt: 0, now: 0 }, "1", {
        ...{ met: new Set(), metAt: {}, memory: fine, disk: fine },
      }),
    recorder: createRecorder(() => clock.now()),
    operations: createOperations(() => clock.now()),
    diskUsage: createDiskUse(async () => ({ containers: { app: 4096 } }), clock),
    version: "1.2.3",
    cpus: 2,
    startedAt: clock.now(),
  };
}

const read = async (what: Scrape, from = parts()) => readMetrics(await scrape(from, what));

test("cAdvisor's names: containers, the pod as a whole, the node", async () => {
  const families = await read("cadvisor");
  const values = (name: string, labels: Record<string, string> = {}): number[] =>
    (families.get(name)?.samples ?? [])
      .filter((one) => Object.entries(labels).every(([label, value]) => (one.labels[label] ?? "") === value))
      .map(({ value }) => value);
  const app = { namespace: "default", pod: "web", container: "app", image: "localhost/app:1" };
  const pod = { namespace: "default", pod: "web", container: "" };
  const node = { id: "/" };
  expect(values("container_cpu_usage_seconds_total", { ...app, cpu: "total" })).toEqual([2.5]);
  expect(values("container_cpu_usage_seconds_total", pod)).toEqual([2.5]);
  expect(values("container_cpu_usage_seconds_total", node)).toEqual([1]);
  expect(values("container_memory_working_set_bytes", app)).toEqual([10]);
  expect(values("container_memory_working_set_bytes", node)).toEqual([600 * 1024]);
  expect(values("container_memory_usage_bytes", app)).toEqual([15]);
  expect(values("container_memory_rss", app)).toEqual([7]);
  expect(values("container_memory_cache", app)).toEqual([5]);
  expect(values("container_cpu_cfs_periods_total", app)).toEqual([10]);
  expect(values("container_cpu_cfs_throttled_periods_total", app)).toEqual([4]);
  expect(values("container_cpu_cfs_throttled_seconds_total", app)).toEqual([1.5]);
  expect(values("container_fs_usage_bytes", app)).toEqual([4096]);
  expect(values("container_fs_writes_bytes_total", app)).toEqual([200]);
  expect(values("container_spec_memory_limit_bytes", app)).toEqual([1_048_576]);
  expect(values("container_spec_cpu_quota", app)).toEqual([50_000]);
  expect(values("container_network_receive_bytes_total", { ...pod, interface: "eth0" })).toEqual([1]);
  expect(values("container_network_transmit_bytes_total", pod)).toEqual([9]);
  expect(values("container_network_receive_packets_dropped_total", pod)).toEqual([4]);
  expect(values("container_network_transmit_errors_total", pod)).toEqual([3]);
  // The host's own interface, and neither loopback nor what leads to pods.
  expect(values("container_network_receive_bytes_total", node)).toEqual([1234]);
});

test("what a driver can't tell is left out, and nothing else", async () => {
  const silent = async (): Promise<never> => {
    throw new GantryError("timeout", "silent");
  };
  const little = async () => ({ timestamp: 1000, cpuUsageNs: 1, memoryBytes: 10, processes: 1 });
  const families = await read("cadvisor", parts({ stats: little, podStats: silent, networkStats: silent }));
  const containers = (name: string) =>
    families.get(name)?.samples.filter(({ labels }) => labels["container"] === "app");
  expect(containers("container_memory_working_set_bytes")).toHaveLength(1);
  expect(families.has("container_memory_rss")).toBe(false);
  expect(families.has("container_cpu_cfs_periods_total")).toBe(false);
  expect(await scrape(parts({ stats: silent, podStats: silent, networkStats: silent }), "summary")).toContain(
    '"pods":[]',
  );
});

test("the kubelet's and kube-state-metrics' names; any label can be told", async () => {
  const from = parts();
  const driver = from.operations.counted(createMemoryDriver({ clock: from.clock }));
  await driver.list();
  await expect(driver.stats("nothing", "nothing")).rejects.toMatchObject({ code: "not-found" });
  const families = await read("kubelet", from);
  const names = [...families.keys()];
  for (const name of [
    "kubelet_node_name",
    "kubelet_running_pods",
    "kubelet_running_containers",
    "kubelet_pod_start_duration_seconds",
    "kubelet_started_pods_total",
    "kubelet_runtime_operations_duration_seconds",
    "kube_pod_info",
    "kube_pod_container_status_restarts_total",
    "kube_node_status_capacity",
    "process_cpu_seconds_total",
  ])
    expect(names).toContain(name);
  expect(families.get("kubelet_runtime_operations_errors_total")?.samples).toMatchObject([
    { labels: { operation_type: "container_stats" }, value: 1 },
  ]);
  expect(families.get("kubelet_runtime_operations_total")?.samples).toHaveLength(2);
  const reasons = families.get("kube_pod_container_status_waiting_reason")?.samples;
  expect(reasons?.map(({ labels }) => [labels["pod"], labels["reason"]])).toEqual([["slow", 'b\\ad\n"reason']]);
  expect(families.get("kube_node_status_capacity")?.samples).toContainEqual(
    expect.objectContaining({ labels: { node: "host", resource: "cpu", unit: "core" }, value: 2 }),
  );
});

test("/metrics/resource and /stats/summary", async () => {
  const families = await read("resource");
  expect(families.get("pod_memory_working_set_bytes")?.samples).toMatchObject([{ value: 10 }]);
  expect(families.get("resource_scrape_error")?.samples).toMatchObject([{ value: 0 }]);
  const summary = JSON.parse(await scrape(parts(), "summary"));
  expect(summary.node).toMatchObject({ nodeName: "host", network: { name: "eth0", rxBytes: 1234, txBytes: 5678 } });
  expect(summary.pods).toMatchObject([
    {
      podRef: { name: "web", namespace: "default" },
      cpu: { usageCoreNanoSeconds: 2_500_000_000 },
      network: { interfaces: [{ name: "eth0", rxBytes: 1, txBytes: 9 }] },
      containers: [{ name: "app", memory: { workingSetBytes: 10, rssBytes: 7 }, rootfs: { usedBytes: 4096 } }],
    },
  ]);
});

test("files are counted once a minute, whoever asks; a failure is tried again", async () => {
  const clock = new ManualClock();
  let asked = 0;
  let fails = false;
  const use = createDiskUse(async () => {
    asked += 1;
    if (fails) throw new Error("gone");
    return { containers: { app: asked } };
  }, clock);
  await Promise.all([use(["u"]), use(["u"])]);
  clock.advance(59_000);
  expect((await use(["u"])).get("u")).toEqual({ app: 1 });
  clock.advance(1000);
  fails = true;
  expect(await use(["u"])).toEqual(new Map());
  fails = false;
  clock.advance(60_000);
  expect((await use(["u"])).get("u")).toEqual({ app: 3 });
});

test("what the kernel tells: interfaces, throttling, disks", () => {
  expect(parseNetDev(NET_DEV)[0]).toEqual({
    name: "eth0",
    received: { bytes: 1234, packets: 12, errors: 1, dropped: 2 },
    sent: { bytes: 5678, packets: 56, errors: 3, dropped: 4 },
  });
  expect(parseNetDev("")).toEqual([]);
  expect(throttlingOf("nr_periods 0\nnr_throttled 0\nthrottled_time 0\n")).toBeUndefined();
  expect(throttlingOf("nr_periods 9\nnr_throttled 2\nthrottled_time 5000\n")).toEqual({
    ...{ periods: 9, throttledPeriods: 2, throttledNs: 5000 },
  });
  expect(throttlingOf("usage_usec 1\nnr_periods 9\nnr_throttled 2\nthrottled_usec 5\n")?.throttledNs).toBe(5000);
  const disk = { readBytes: 3, writtenBytes: 30, reads: 2, writes: 4 };
  expect(
    diskOfV2("8:0 rbytes=1 wbytes=10 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=2 wbytes=20 rios=1 wios=2\n"),
  ).toEqual(disk);
  expect(
    diskOfV1(
      "8:0 Read 1\n8:0 Write 10\n8:0 Total 11\n9:0 Read 2\n9:0 Write 20\nTotal 33\n",
      "8:0 Read 2\n8:0 Write 4\n",
    ),
  ).toEqual(disk);
  expect(diskOfV1("", "")).toBeUndefined();
});

test("a histogram counts what is beyond its last bucket, too", () => {
  const histogram = new Histogram([1]);
  histogram.observe(5);
  expect(histogram.samples({ a: "b" }).map(({ value }) => value)).toEqual([0, 1, 5, 1]);
});

test("the reader of these tests takes nothing that Prometheus would not", () => {
  const good = "# HELP a b\n# TYPE a gauge\na 1\n";
  expect(readMetrics(good).size).toBe(1);
  for (const bad of [
    "a 1\n",
    good.trimEnd(),
    `${good}a 2\n`,
    `${good}b 2\n`,
    `${good}a{x="1"y="2"} 2\n`,
    `${good}a{x="1} 2\n`,
    `${good}a one\n`,
    good.replace("gauge", "counter"),
    `${good}${good}`,
    '# HELP h x\n# TYPE h histogram\nh_bucket{le="1"} 1\nh_sum 1\nh_count 1\n',
  ])
    expect(() => readMetrics(bad), bad).toThrow();
});
