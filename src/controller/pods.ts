/** What controllers ask of pods, and how they make them. Pure. */

import type { Pod, PodTemplate } from "../manifest/index.ts";
import { timestamp } from "../system/timestamp.ts";
import type { Condition, Live, Owner, PodView } from "./contract.ts";
import { ownerReference } from "./names.ts";

export function podFrom(
  owner: Live<Owner>,
  template: PodTemplate,
  name: string,
  extra: { readonly labels?: Record<string, string>; readonly annotations?: Record<string, string> } = {},
): Pod {
  const { labels, annotations } = template.metadata;
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: owner.object.metadata.namespace,
      labels: { ...labels, ...extra.labels },
      ...((annotations !== undefined || extra.annotations !== undefined) && {
        annotations: { ...annotations, ...extra.annotations },
      }),
      ownerReferences: [ownerReference(owner)],
    },
    spec: template.spec,
  };
}

export function isActive({ deleting, phase }: PodView): boolean {
  return !deleting && phase !== "Succeeded" && phase !== "Failed";
}

/** Ready for at least `minReadySeconds`. */
export function isAvailable(pod: PodView, minReadySeconds: number, now: number): boolean {
  return pod.ready && !pod.deleting && (minReadySeconds === 0 || (pod.readyAt ?? now) + minReadySeconds * 1000 <= now);
}

/** When the next pod becomes available by time alone. */
export function availableAt(pods: readonly PodView[], minReadySeconds: number, now: number): number | undefined {
  const times = pods
    .filter((pod) => pod.ready && !pod.deleting)
    .map((pod) => (pod.readyAt ?? now) + minReadySeconds * 1000)
    .filter((time) => time > now);
  return earliest(times);
}

export function earliest(times: readonly (number | undefined)[]): number | undefined {
  const known = times.filter((time) => time !== undefined);
  return known.length === 0 ? undefined : Math.min(...known);
}

export interface Counts {
  readonly replicas: number;
  readonly readyReplicas: number;
  readonly availableReplicas: number;
}

export function countsOf(pods: readonly PodView[], minReadySeconds: number, now: number): Counts {
  const active = pods.filter(isActive);
  return {
    replicas: active.length,
    readyReplicas: active.filter(({ ready }) => ready).length,
    availableReplicas: active.filter((pod) => isAvailable(pod, minReadySeconds, now)).length,
  };
}

/** Those that are to go come first: what does the least, then what has done it for the shortest time. */
export function byDispensability(pods: readonly PodView[]): PodView[] {
  const rank = ({ phase }: PodView): number => (phase === "Running" ? 1 : 0);
  return [...pods].sort(
    (a, b) =>
      rank(a) - rank(b) ||
      Number(a.ready) - Number(b.ready) ||
      (b.readyAt ?? 0) - (a.readyAt ?? 0) ||
      b.restarts - a.restarts ||
      b.createdAt - a.createdAt ||
      (a.key < b.key ? -1 : 1),
  );
}

/** Keeps the time of the last transition where nothing changed. */
export function withCondition(before: unknown, next: Omit<Condition, "lastTransitionTime">, now: number): Condition {
  const known = conditionsIn(before).find(({ type }) => type === next.type);
  const same = known?.status === next.status;
  return { ...next, lastTransitionTime: same && known !== undefined ? known.lastTransitionTime : timestamp(now) };
}

export function conditionsIn(status: unknown): readonly Condition[] {
  const list: unknown = typeof status === "object" && status !== null ? Reflect.get(status, "conditions") : undefined;
  return Array.isArray(list) ? list.filter(isCondition) : [];
}

function isCondition(value: unknown): value is Condition {
  return typeof value === "object" && value !== null && "type" in value && "status" in value;
}

/** A whole number out of a status; 0 when it is not there. */
export function numberIn(status: unknown, field: string): number {
  const value: unknown = typeof status === "object" && status !== null ? Reflect.get(status, field) : undefined;
  return typeof value === "number" ? value : 0;
}
