/** What Prometheus gets, with the names that the kubelet and cAdvisor have for it. Looked up when it asks. */
import type { PodObject } from "../api/contract.ts";
import type { ContainerStats } from "../sandbox/driver.ts";
import { type Family, formatFamilies, type Sample } from "./exposition.ts";
import { cpuNsOf, memoryOf } from "./host.ts";
import { type MeterParts, runningIn, statsOfAll } from "./meter.ts";
import { processFamilies } from "./process.ts";
import type { Recorder } from "./recorder.ts";

/** /metrics, /metrics/cadvisor, /metrics/resource */
export type Scrape = "kubelet" | "cadvisor" | "resource";

export interface ScrapeParts extends MeterParts {
  readonly objects: () => readonly PodObject[];
  readonly recorder: Recorder;
  readonly version: string;
  readonly cpus: number;
}

export async function scrape(parts: ScrapeParts, what: Scrape): Promise<string> {
  switch (what) {
    case "kubelet":
      return formatFamilies([...podFamilies(parts), ...parts.recorder.families(), ...processFamilies(parts.read)]);
    case "cadvisor":
      return formatFamilies(await cadvisorFamilies(parts));
    case "resource":
      return formatFamilies(await resourceFamilies(parts));
  }
}

const PHASES = ["Pending", "Running", "Succeeded", "Failed"] as const;

function podFamilies({ pods, objects, node, version }: ScrapeParts): Family[] {
  const states = pods();
  const containers = states.flatMap((pod) => pod.containers);
  const count = (type: "running" | "terminated" | "waiting"): number =>
    containers.filter(({ state }) => state.type === type).length;
  const served = objects();
  const named = ({ metadata: { namespace, name, uid } }: PodObject) => ({ namespace, pod: name, uid });
  return [
    gauge("kubelet_node_name", "The node's name. The count is always 1.", [{ labels: { node }, value: 1 }]),
    gauge("kubelet_running_pods", "Number of pods that have a running pod sandbox.", [
      { value: states.filter(({ sandbox, stage }) => sandbox !== undefined && stage !== "completed").length },
    ]),
    gauge("kubelet_running_containers", "Number of containers by their state.", [
      { labels: { container_state: "running" }, value: count("running") },
      { labels: { container_state: "exited" }, value: count("terminated") },
      { labels: { container_state: "created" }, value: count("waiting") },
    ]),
    gauge(
      "kube_pod_status_phase",
      "The pod's phase.",
      served.flatMap((pod) =>
        PHASES.map((phase) => ({ labels: { ...named(pod), phase }, value: pod.status.phase === phase ? 1 : 0 })),
      ),
    ),
    gauge(
      "kube_pod_status_ready",
      "Whether the pod is ready.",
      served.map((pod) => {
        const ready = pod.status.conditions.some(({ type, status }) => type === "Ready" && status === "True");
        return { labels: { ...named(pod), condition: "true" }, value: ready ? 1 : 0 };
      }),
    ),
    counter(
      "kube_pod_container_status_restarts_total",
      "Restarts of the container.",
      states.flatMap(({ uid, desired: { pod }, containers: all }) =>
        all.map(({ name, restartCount }) => ({
          labels: { namespace: pod.metadata.namespace, pod: pod.metadata.name, uid, container: name },
          value: restartCount,
        })),
      ),
    ),
    gauge("gantry_build_info", "Gantry's version. The value is always 1.", [{ labels: { version }, value: 1 }]),
  ];
}

interface Measured {
  readonly labels: { readonly namespace: string; readonly pod: string; readonly container: string };
  readonly id: string;
  readonly image: string;
  readonly startedAt: number;
  readonly stats: ContainerStats;
}

async function measured(parts: ScrapeParts): Promise<Measured[]> {
  const stats = await statsOfAll(parts);
  return parts.pods().flatMap(({ desired, containers }) => {
    const { namespace, name: pod } = desired.pod.metadata;
    return runningIn(containers).flatMap(({ id, name, startedAt }) => {
      const found = stats.get(id);
      const image = containers.find((one) => one.name === name)?.image ?? "";
      return found === undefined
        ? []
        : [{ labels: { namespace, pod, container: name }, id, image, startedAt, stats: found }];
    });
  });
}

async function cadvisorFamilies(parts: ScrapeParts): Promise<Family[]> {
  const all = await measured(parts);
  const each = (value: (one: Measured) => number | undefined, more: Record<string, string> = {}): Sample[] =>
    all.flatMap((one) => {
      const found = value(one);
      const { id, image, labels, stats } = one;
      return found === undefined
        ? []
        : [{ labels: { ...labels, id, image, name: id, ...more }, value: found, at: stats.timestamp }];
    });
  return [
    gauge("machine_cpu_cores", "Number of logical CPU cores.", [{ value: parts.cpus }]),
    gauge("machine_memory_bytes", "Amount of memory installed on the machine.", [
      { value: memoryOf(parts.read("/proc/meminfo")).totalBytes },
    ]),
    counter(
      "container_cpu_usage_seconds_total",
      "Cumulative cpu time consumed in seconds.",
      each(({ stats }) => stats.cpuUsageNs / 1e9, { cpu: "total" }),
    ),
    gauge(
      "container_memory_working_set_bytes",
      "Current working set in bytes.",
      each(({ stats }) => stats.memoryBytes),
    ),
    gauge(
      "container_memory_usage_bytes",
      "Current memory usage in bytes, including all memory regardless of when it was accessed.",
      each(({ stats }) => stats.memoryUsageBytes),
    ),
    gauge(
      "container_processes",
      "Number of processes running inside the container.",
      each(({ stats }) => stats.processes),
    ),
    gauge(
      "container_start_time_seconds",
      "Start time of the container since unix epoch in seconds.",
      each(({ startedAt }) => startedAt / 1000),
    ),
    gauge(
      "container_last_seen",
      "Last time a container was seen by the exporter.",
      each(({ stats }) => Math.round(stats.timestamp / 1000)),
    ),
  ];
}

async function resourceFamilies(parts: ScrapeParts): Promise<Family[]> {
  const all = await measured(parts);
  const at = parts.clock.now();
  const { totalBytes, availableBytes } = memoryOf(parts.read("/proc/meminfo"));
  const each = (value: (one: Measured) => number): Sample[] =>
    all.map((one) => ({ labels: one.labels, value: value(one), at: one.stats.timestamp }));
  const byPod = Map.groupBy(all, ({ labels: { namespace, pod } }) => `${namespace}/${pod}`);
  const ofPods = (value: (one: Measured) => number): Sample[] =>
    [...byPod.values()].flatMap((group) => {
      const [first] = group;
      if (first === undefined) return [];
      const { namespace, pod } = first.labels;
      const sum = group.reduce((total, one) => total + value(one), 0);
      return [{ labels: { namespace, pod }, value: sum, at: first.stats.timestamp }];
    });
  const cpu = ({ stats }: Measured): number => stats.cpuUsageNs / 1e9;
  const memory = ({ stats }: Measured): number => stats.memoryBytes;
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

function gauge(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "gauge", help, samples };
}

function counter(name: string, help: string, samples: readonly Sample[]): Family {
  return { name, type: "counter", help, samples };
}
