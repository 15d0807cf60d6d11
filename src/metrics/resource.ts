/** /metrics/resource: the little that metrics-server and autoscalers want of the kubelet. */
import type { Family, Sample } from "./exposition.ts";
import { counter, gauge } from "./families.ts";
import { cpuNsOf, memoryOf } from "./host.ts";
import { type MeasuredContainer, type MeasuredPod, measurePods } from "./measured.ts";
import type { ScrapeParts } from "./scrape.ts";

export async function resourceFamilies(parts: ScrapeParts): Promise<Family[]> {
  const pods = await measurePods(parts);
  const at = parts.clock.now();
  const { totalBytes, availableBytes } = memoryOf(parts.read("/proc/meminfo"));
  const each = (value: (one: MeasuredContainer) => number): Sample[] =>
    pods.flatMap(({ namespace, name: pod, containers }) =>
      containers.map((one) => ({
        labels: { namespace, pod, container: one.name },
        value: value(one),
        at: one.stats.timestamp,
      })),
    );
  const ofPods = (value: (one: MeasuredContainer) => number): Sample[] =>
    pods.map(({ namespace, name: pod, containers }: MeasuredPod) => ({
      labels: { namespace, pod },
      value: containers.reduce((total, one) => total + value(one), 0),
      at: containers[0]?.stats.timestamp ?? at,
    }));
  const cpu = ({ stats }: MeasuredContainer): number => stats.cpuUsageNs / 1e9;
  const memory = ({ stats }: MeasuredContainer): number => stats.memoryBytes;
  return [
    counter("node_cpu_usage_seconds_total", "Cumulative cpu time consumed by the node in core-seconds.", [
      { value: cpuNsOf(parts.read("/proc/stat")) / 1e9, at },
    ]),
    gauge("node_memory_working_set_bytes", "Current working set of the node in bytes.", [
      { value: totalBytes - availableBytes, at },
    ]),
    counter("pod_cpu_usage_seconds_total", "Cumulative cpu time consumed by the pod in core-seconds.", ofPods(cpu)),
    gauge("pod_memory_working_set_bytes", "Current working set of the pod in bytes.", ofPods(memory)),
    counter(
      "container_cpu_usage_seconds_total",
      "Cumulative cpu time consumed by the container in core-seconds.",
      each(cpu),
    ),
    gauge("container_memory_working_set_bytes", "Current working set of the container in bytes.", each(memory)),
    gauge(
      "container_start_time_seconds",
      "Start time of the container since unix epoch in seconds.",
      each(({ startedAt }) => startedAt / 1000),
    ),
    gauge("resource_scrape_error", "1 if there was an error while getting container metrics, 0 otherwise.", [
      { value: 0 },
    ]),
  ];
}
