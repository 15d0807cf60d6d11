/** /stats/summary of the kubelet (k8s.io/kubelet/pkg/apis/stats/v1alpha1): what agents read that know no Prometheus. */
import type { ContainerStats } from "../sandbox/driver.ts";
import { parseNetDev } from "../sandbox/network-stats.ts";
import { cpuNsOf, memoryOf, ownInterface } from "./host.ts";
import { type MeasuredPod, measurePods } from "./measured.ts";
import type { ScrapeParts } from "./scrape.ts";

export async function statsSummary(parts: ScrapeParts): Promise<object> {
  const pods = await measurePods(parts);
  const disks = await parts.diskUsage(pods.map(({ state }) => state.uid));
  const { read, clock, node, startedAt } = parts;
  const time = iso(clock.now());
  const { totalBytes, availableBytes, freeBytes } = memoryOf(read("/proc/meminfo"));
  return {
    node: {
      nodeName: node,
      startTime: iso(startedAt),
      cpu: { time, usageCoreNanoSeconds: cpuNsOf(read("/proc/stat")) },
      memory: {
        time,
        availableBytes,
        usageBytes: totalBytes - freeBytes,
        workingSetBytes: totalBytes - availableBytes,
      },
      network: network(
        time,
        parseNetDev(read("/proc/net/dev")).filter(({ name }) => ownInterface(name)),
      ),
    },
    pods: pods.map((pod) => podSummary(pod, disks.get(pod.state.uid))),
  };
}

function podSummary(pod: MeasuredPod, disk: Readonly<Record<string, number>> | undefined): object {
  const { state, namespace, name, whole, interfaces, containers } = pod;
  return {
    podRef: { name, namespace, uid: state.uid },
    startTime: iso(state.createdAt),
    containers: containers.map(({ name: container, startedAt, stats }) => ({
      name: container,
      startTime: iso(startedAt),
      ...used(stats),
      ...(disk?.[container] !== undefined && {
        rootfs: { time: iso(stats.timestamp), usedBytes: disk[container] },
      }),
    })),
    ...(whole !== undefined && { ...used(whole), process_stats: { process_count: whole.processes } }),
    ...(interfaces.length > 0 && { network: network(iso(whole?.timestamp ?? state.createdAt), interfaces) }),
  };
}

function used({ timestamp, cpuUsageNs, memoryBytes, memoryUsageBytes, memoryRssBytes }: ContainerStats) {
  const time = iso(timestamp);
  return {
    cpu: { time, usageCoreNanoSeconds: cpuUsageNs },
    memory: {
      time,
      workingSetBytes: memoryBytes,
      ...(memoryUsageBytes !== undefined && { usageBytes: memoryUsageBytes }),
      ...(memoryRssBytes !== undefined && { rssBytes: memoryRssBytes }),
    },
  };
}

/** The first interface stands for the whole in fields of its own. */
function network(time: string, interfaces: MeasuredPod["interfaces"]): object {
  const all = interfaces.map(({ name, received, sent }) => ({
    name,
    rxBytes: received.bytes,
    rxErrors: received.errors,
    txBytes: sent.bytes,
    txErrors: sent.errors,
  }));
  return { time, ...all[0], interfaces: all };
}

function iso(ms: number): string {
  return new Date(ms).toISOString();
}
