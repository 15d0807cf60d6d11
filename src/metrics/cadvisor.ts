/** /metrics/cadvisor: what containers, pods and the node use, with the names and labels that cAdvisor has (docs/storage/prometheus.md). */
import { parseBytes, parseMilliCpu } from "../manifest/index.ts";
import type { Traffic } from "../sandbox/driver.ts";
import { parseNetDev } from "../sandbox/network-stats.ts";
import type { Family, Sample } from "./exposition.ts";
import { counter, gauge } from "./families.ts";
import { cpuNsOf, memoryOf, ownInterface } from "./host.ts";
import { type MeasuredContainer, type MeasuredPod, measurePods } from "./measured.ts";
import type { ScrapeParts } from "./scrape.ts";

type Labels = Readonly<Record<string, string>>;

/** Something with figures of its own: a container, a pod as a whole (no `container`), or the node (`id` "/"). */
interface Row {
  readonly labels: Labels;
  /** ms since the epoch */
  readonly at: number;
  readonly cpuNs: number;
  readonly workingSet: number;
  readonly usage: number | undefined;
  readonly container?: MeasuredContainer;
  readonly pod?: MeasuredPod;
}

/** As kernels and dashboards have it: 100 ms. µs */
const CFS_PERIOD_US = 100_000;

export async function cadvisorFamilies(parts: ScrapeParts): Promise<Family[]> {
  const pods = await measurePods(parts);
  const disks = await parts.diskUsage(pods.map(({ state }) => state.uid));
  const rows = [nodeRow(parts), ...pods.flatMap(rowsOf)];
  const each = (value: (row: Row) => number | undefined, more: Labels = {}): Sample[] =>
    rows.flatMap((row) => {
      const found = value(row);
      return found === undefined ? [] : [{ labels: { ...row.labels, ...more }, value: found, at: row.at }];
    });
  /** Of containers; of a micro-VM's disk only the pod as a whole is known. */
  const stats = ({ container, pod }: Row) => container?.stats ?? pod?.whole;
  const disk = (row: Row) => stats(row)?.disk;
  const own = (value: (container: MeasuredContainer, pod: MeasuredPod) => number | undefined) => (row: Row) =>
    row.container === undefined || row.pod === undefined ? undefined : value(row.container, row.pod);
  const limitOf = ({ name }: MeasuredContainer, { state }: MeasuredPod, resource: "cpu" | "memory") => {
    const { containers, initContainers = [] } = state.desired.pod.spec;
    return [...containers, ...initContainers].find((one) => one.name === name)?.resources?.limits?.[resource];
  };
  return [
    gauge("cadvisor_version_info", "What serves this. The value is always 1.", [
      { labels: { cadvisorVersion: `gantry-${parts.version}` }, value: 1 },
    ]),
    gauge("machine_cpu_cores", "Number of logical CPU cores.", [{ value: parts.cpus }]),
    gauge("machine_memory_bytes", "Amount of memory installed on the machine.", [
      { value: memoryOf(parts.read("/proc/meminfo")).totalBytes },
    ]),
    counter(
      "container_cpu_usage_seconds_total",
      "Cumulative cpu time consumed in seconds.",
      each(({ cpuNs }) => cpuNs / 1e9, { cpu: "total" }),
    ),
    counter(
      "container_cpu_cfs_periods_total",
      "Number of elapsed enforcement period intervals.",
      each((row) => stats(row)?.throttling?.periods),
    ),
    counter(
      "container_cpu_cfs_throttled_periods_total",
      "Number of throttled period intervals.",
      each((row) => stats(row)?.throttling?.throttledPeriods),
    ),
    counter(
      "container_cpu_cfs_throttled_seconds_total",
      "Total time duration the container has been throttled.",
      each((row) => scaled(stats(row)?.throttling?.throttledNs, 1e-9)),
    ),
    gauge(
      "container_memory_working_set_bytes",
      "Current working set in bytes.",
      each(({ workingSet }) => workingSet),
    ),
    gauge(
      "container_memory_usage_bytes",
      "Current memory usage in bytes, including all memory regardless of when it was accessed.",
      each(({ usage }) => usage),
    ),
    gauge(
      "container_memory_rss",
      "Size of RSS in bytes.",
      each((row) => stats(row)?.memoryRssBytes),
    ),
    gauge(
      "container_memory_cache",
      "Number of bytes of page cache memory.",
      each((row) => stats(row)?.memoryCacheBytes),
    ),
    gauge(
      "container_fs_usage_bytes",
      "Number of bytes that are consumed by the container on this filesystem.",
      each(
        own(({ name }, { state }) => disks.get(state.uid)?.[name]),
        { device: "" },
      ),
    ),
    counter(
      "container_fs_reads_bytes_total",
      "Cumulative count of bytes read.",
      each((row) => disk(row)?.readBytes, { device: "" }),
    ),
    counter(
      "container_fs_writes_bytes_total",
      "Cumulative count of bytes written.",
      each((row) => disk(row)?.writtenBytes, { device: "" }),
    ),
    counter(
      "container_fs_reads_total",
      "Cumulative count of reads completed.",
      each((row) => disk(row)?.reads, { device: "" }),
    ),
    counter(
      "container_fs_writes_total",
      "Cumulative count of writes completed.",
      each((row) => disk(row)?.writes, { device: "" }),
    ),
    gauge(
      "container_processes",
      "Number of processes running inside the container.",
      each((row) => stats(row)?.processes),
    ),
    gauge(
      "container_spec_memory_limit_bytes",
      "Memory limit for the container.",
      each(own((container, pod) => parseBytes(limitOf(container, pod, "memory") ?? "0"))),
    ),
    gauge("container_spec_cpu_period", "CPU period of the container.", each(own(() => CFS_PERIOD_US))),
    gauge(
      "container_spec_cpu_quota",
      "CPU quota of the container.",
      each(own((container, pod) => scaled(parseMilliCpu(limitOf(container, pod, "cpu") ?? ""), CFS_PERIOD_US / 1000))),
    ),
    gauge(
      "container_start_time_seconds",
      "Start time of the container since unix epoch in seconds.",
      each(own(({ startedAt }) => startedAt / 1000)),
    ),
    gauge(
      "container_last_seen",
      "Last time a container was seen by the exporter.",
      each(own(({ stats: { timestamp } }) => Math.round(timestamp / 1000))),
    ),
    ...networkFamilies(parts, pods),
  ];
}

function rowsOf(pod: MeasuredPod): Row[] {
  const { namespace, name, sandboxId, whole, containers } = pod;
  const ofPod: Row[] =
    whole === undefined
      ? []
      : [
          {
            labels: { namespace, pod: name, id: `/${sandboxId}` },
            at: whole.timestamp,
            cpuNs: whole.cpuUsageNs,
            workingSet: whole.memoryBytes,
            usage: whole.memoryUsageBytes,
            pod,
          },
        ];
  const ofContainers = containers.map((container): Row => {
    const { id, image, stats } = container;
    return {
      labels: { namespace, pod: name, container: container.name, id: `/${sandboxId}/${id}`, image, name: id },
      at: stats.timestamp,
      cpuNs: stats.cpuUsageNs,
      workingSet: stats.memoryBytes,
      usage: stats.memoryUsageBytes,
      container,
      pod,
    };
  });
  return [...ofPod, ...ofContainers];
}

function nodeRow({ read, clock }: ScrapeParts): Row {
  const { totalBytes, availableBytes, freeBytes } = memoryOf(read("/proc/meminfo"));
  return {
    labels: { id: "/" },
    at: clock.now(),
    cpuNs: cpuNsOf(read("/proc/stat")),
    workingSet: totalBytes - availableBytes,
    usage: totalBytes - freeBytes,
  };
}

/** Of pods and of the node; a pod's interfaces are the sandbox's, so no container has them. */
function networkFamilies({ read, clock }: ScrapeParts, pods: readonly MeasuredPod[]): Family[] {
  const host = parseNetDev(read("/proc/net/dev")).filter(({ name }) => ownInterface(name));
  const rows = [
    ...host.map((one) => ({ labels: { id: "/", interface: one.name }, at: clock.now(), one })),
    ...pods.flatMap(({ namespace, name, sandboxId, interfaces, whole }) =>
      interfaces.map((one) => ({
        labels: { namespace, pod: name, id: `/${sandboxId}`, interface: one.name, name: sandboxId },
        at: whole?.timestamp ?? clock.now(),
        one,
      })),
    ),
  ];
  const what = {
    bytes: ["bytes", "bytes"],
    packets: ["packets", "packets"],
    errors: ["errors", "errors"],
    dropped: ["packets_dropped", "packets dropped"],
  } as const satisfies Record<keyof Traffic, readonly [string, string]>;
  const directions = [
    ["receive", "received", "received"],
    ["transmit", "sent", "transmitted"],
  ] as const;
  return directions.flatMap(([verb, field, past]) =>
    (["bytes", "packets", "errors", "dropped"] as const).map((key) =>
      counter(
        `container_network_${verb}_${what[key][0]}_total`,
        key === "errors"
          ? `Cumulative count of errors encountered while ${past === "received" ? "receiving" : "transmitting"}.`
          : `Cumulative count of ${what[key][1]} ${past}.`,
        rows.map(({ labels, at, one }) => ({ labels, at, value: one[field][key] })),
      ),
    ),
  );
}

function scaled(value: number | undefined, factor: number): number | undefined {
  return value === undefined ? undefined : value * factor;
}
