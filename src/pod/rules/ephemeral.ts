/** Limits of what a pod may have on the node's disk (pkg/kubelet/eviction, localStorageEviction). Pure. */
import type { Pod } from "../../manifest/index.ts";
import { parseBytes, quantityText } from "../../manifest/quantity.ts"; // not through the index: the CLI would load every schema
import { podLimitBytes } from "./resources.ts";

const EPHEMERAL = "ephemeral-storage";

/** Bytes, or inodes, by name. */
export interface EphemeralUsage {
  /** Writable layers and logs. */
  readonly containers: Readonly<Record<string, number>>;
  /** emptyDirs on disk. */
  readonly volumes: Readonly<Record<string, number>>;
}

export interface Measured {
  readonly containers: boolean;
  readonly volumes: readonly string[];
}

/** The pod's emptyDirs that are on disk. */
export function diskVolumes(pod: Pod): string[] {
  return (pod.spec.volumes ?? []).flatMap(({ name, emptyDir }) =>
    emptyDir === undefined || emptyDir.medium === "Memory" ? [] : [name],
  );
}

/** What has to be measured to enforce the limits of the pod; undefined when it has none. */
export function toMeasure(pod: Pod): Measured | undefined {
  const containers = podLimitBytes(pod, EPHEMERAL) !== undefined;
  const limited = new Set(
    (pod.spec.volumes ?? []).flatMap(({ name, emptyDir }) => (emptyDir?.sizeLimit === undefined ? [] : [name])),
  );
  const volumes = diskVolumes(pod).filter((name) => containers || limited.has(name));
  return containers || volumes.length > 0 ? { containers, volumes } : undefined;
}

/** Which limit the pod is over, in the kubelet's words. */
export function ephemeralExcess(pod: Pod, usage: EphemeralUsage): string | undefined {
  for (const { name, emptyDir } of pod.spec.volumes ?? []) {
    const limit = emptyDir?.sizeLimit;
    if (limit === undefined || emptyDir?.medium === "Memory") continue;
    if ((usage.volumes[name] ?? 0) > (parseBytes(limit) ?? Number.POSITIVE_INFINITY))
      return `Usage of EmptyDir volume "${name}" exceeds the limit "${limit}".`;
  }
  const total = podLimitBytes(pod, EPHEMERAL);
  if (total === undefined) return undefined;
  if (sum(usage.containers) + sum(usage.volumes) > total)
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${quantityText(total)}.`;
  for (const { name, resources } of [...(pod.spec.initContainers ?? []), ...pod.spec.containers]) {
    const limit = resources.limits?.[EPHEMERAL];
    if (limit !== undefined && (usage.containers[name] ?? 0) > (parseBytes(limit) ?? Number.POSITIVE_INFINITY))
      return `Container ${name} exceeded its local ephemeral storage limit "${limit}".`;
  }
  return undefined;
}

/** All of it. */
export function totalUsage({ containers, volumes }: EphemeralUsage): number {
  return sum(containers) + sum(volumes);
}

function sum(values: Readonly<Record<string, number>>): number {
  return Object.values(values).reduce((total, value) => total + value, 0);
}
