/** Whom the node sends away or turns away when it runs short, and what it tells them (pkg/kubelet/eviction). Pure. */
import type { Pod } from "../manifest/index.ts";
import { parseBytes, quantityText } from "../manifest/quantity.ts";
import { qosClassOf } from "../pod/rules/qos.ts";
import { podRequestBytes } from "../pod/rules/resources.ts";
import type { Observation, Pressure, Signal } from "./thresholds.ts";

/** What a signal is about, as the messages name it. */
export type Resource = "memory" | "ephemeral-storage" | "inodes";

export function resourceOf(signal: Signal): Resource {
  switch (signal) {
    case "memoryAvailable":
      return "memory";
    case "nodefsAvailable":
    case "imagefsAvailable":
      return "ephemeral-storage";
    case "nodefsInodesFree":
    case "imagefsInodesFree":
      return "inodes";
  }
}

export interface Candidate {
  readonly uid: string;
  readonly pod: Pod;
  /** What the pod as a whole uses: bytes, or inodes. */
  readonly used: number;
  /** By container. */
  readonly containers: Readonly<Record<string, number>>;
}

/** Pods of system-cluster-critical and above are never sent away, and start under pressure, too. */
const CRITICAL = 2_000_000_000;
const CLASSES: Readonly<Record<string, number>> = {
  "system-cluster-critical": CRITICAL,
  "system-node-critical": CRITICAL + 1000,
};

export function priorityOf({ spec }: Pod): number {
  return spec.priority ?? CLASSES[spec.priorityClassName ?? ""] ?? 0;
}

function isCritical(pod: Pod): boolean {
  return priorityOf(pod) >= CRITICAL;
}

/**
 * Whether a pod that has not started yet is to wait. Short of memory that is who asked for none; short of disk space all
 * but the critical (eviction_manager.go, Admit).
 */
export function isTurnedAway(pod: Pod, { memory, disk }: Pick<Pressure, "memory" | "disk">): boolean {
  if (isCritical(pod)) return false;
  return disk.holds || (memory.holds && qosClassOf(pod) === "BestEffort");
}

/**
 * Who goes first: who uses more than was requested, then the lesser priority, then the most beyond the request. That is
 * how BestEffort pods and Burstable ones beyond their requests come before the Guaranteed. Nobody requests inodes.
 */
export function ranked(candidates: readonly Candidate[], resource: Resource): Candidate[] {
  const known = candidates
    .filter(({ pod }) => !isCritical(pod))
    .map((candidate) => {
      const beyond = candidate.used - podRequest(candidate.pod, resource);
      return { candidate, beyond, exceeds: resource === "inodes" || beyond > 0, priority: priorityOf(candidate.pod) };
    });
  return known
    .sort(
      (a, b) =>
        Number(b.exceeds) - Number(a.exceeds) ||
        a.priority - b.priority ||
        b.beyond - a.beyond ||
        (a.candidate.uid < b.candidate.uid ? -1 : 1),
    )
    .map(({ candidate }) => candidate);
}

/** In the kubelet's words. */
export function evictionMessage(
  { pod, containers }: Candidate,
  resource: Resource,
  threshold: number,
  { available }: Observation,
): string {
  const text = resource === "inodes" ? String : quantityText;
  const head = `The node was low on resource: ${resource}. Threshold quantity: ${text(threshold)}, available: ${text(available)}. `;
  const hungry = Object.entries(containers).flatMap(([name, used]) => {
    const container = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].find((one) => one.name === name);
    const request = parseBytes(container?.resources.requests?.[resource] ?? "0") ?? 0;
    if (resource === "inodes" || used <= request) return [];
    return [
      `Container ${name} was using ${text(used)}, request is ${text(request)}, has larger consumption of ${resource}. `,
    ];
  });
  return `${head}${hungry.join("")}`.trimEnd();
}

function podRequest(pod: Pod, resource: Resource): number {
  return resource === "inodes" ? 0 : podRequestBytes(pod, resource);
}
