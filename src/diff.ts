/** What differs between desired and observed, one entry per pod. Pure. */
import type { Desired } from "./desired.ts";
import type { DesiredPod } from "./pod/contract.ts";

/** A pod that exists: a machine drives it, or a driver reports a sandbox of it. */
export interface KnownPod {
  readonly uid: string;
  readonly key: string;
  /** What its machine works towards; undefined when no machine drives it (the state database was lost). */
  readonly managed: DesiredPod | undefined;
  /** It is being removed: nothing more is to be decided. */
  readonly deleting: boolean;
  /** What its sandbox was made from, as its labels tell; undefined when there is no sandbox. */
  readonly sandboxHash: string | undefined;
}

export type Difference =
  | { readonly type: "missing"; readonly key: string; readonly desired: DesiredPod }
  | { readonly type: "unmanaged"; readonly key: string; readonly uid: string; readonly desired: DesiredPod }
  | {
      readonly type: "changed";
      readonly key: string;
      readonly uid: string;
      readonly desired: DesiredPod;
      /** The envelope itself must be made anew. */
      readonly sandbox: boolean;
      /** Containers to be made anew, when the sandbox may stay. */
      readonly containers: readonly string[];
    }
  | { readonly type: "unwanted"; readonly key: string; readonly uid: string; readonly reason: string };

export interface DiffOptions {
  /** Set while a source can't be trusted: what is not desired may only be unseen, so nothing is removed. */
  readonly keepUnwanted: boolean;
  /** Whether a controller has taken the pod back: it goes even then. */
  readonly retired?: (pod: KnownPod) => boolean;
}

/** Ordered by key, then by kind, so that equal inputs in any order give equal output. */
export function diff(desired: Desired, pods: readonly KnownPod[], options: DiffOptions): Difference[] {
  const byKey = groupByKey(pods);
  const differences: Difference[] = [];
  for (const [key, want] of desired.pods) differences.push(...differencesOf(want, byKey.get(key) ?? []));
  for (const [key, known] of byKey) {
    if (desired.pods.has(key) || desired.withheld.has(key)) continue;
    for (const pod of known) {
      const retired = options.retired?.(pod) ?? false;
      if (pod.deleting || (options.keepUnwanted && !retired)) continue;
      const reason = retired ? "its controller does not want it any more" : "no manifest asks for it";
      differences.push({ type: "unwanted", key, uid: pod.uid, reason });
    }
  }
  return differences.sort((a, b) => compare(a.key, b.key) || compare(a.type, b.type) || compare(idOf(a), idOf(b)));
}

function differencesOf(want: DesiredPod, known: readonly KnownPod[]): Difference[] {
  const { key } = want;
  // The one that a machine drives is the pod; others of the same name are left over from a crash.
  const alive = known.filter(({ deleting }) => !deleting);
  const [pod, ...older] = [...alive].sort(
    (a, b) => Number(b.managed !== undefined) - Number(a.managed !== undefined) || compare(a.uid, b.uid),
  );
  const leftOver = older.map(
    ({ uid }): Difference => ({ type: "unwanted", key, uid, reason: "another pod took its place" }),
  );
  // While one of that name is still going away, its successor waits.
  if (pod === undefined) return known.length > 0 ? [] : [{ type: "missing", key, desired: want }];
  return [...leftOver, ...changesOf(want, pod)];
}

function changesOf(want: DesiredPod, pod: KnownPod): Difference[] {
  const { key } = want;
  const { uid, managed } = pod;
  if (managed === undefined) {
    if (pod.sandboxHash !== undefined && pod.sandboxHash !== want.sandboxHash) {
      return [{ type: "changed", key, uid, desired: want, sandbox: true, containers: [] }];
    }
    // Containers that changed meanwhile are noticed by the machine when it adopts them.
    return [{ type: "unmanaged", key, uid, desired: want }];
  }
  if (managed === want) return [];
  if (managed.sandboxHash !== want.sandboxHash)
    return [{ type: "changed", key, uid, desired: want, sandbox: true, containers: [] }];
  const names = new Set([...Object.keys(managed.containerHashes), ...Object.keys(want.containerHashes)]);
  const containers = [...names].filter((name) => managed.containerHashes[name] !== want.containerHashes[name]).sort();
  if (containers.length === 0 && managed.metadataHash === want.metadataHash && managed.origin === want.origin)
    return [];
  return [{ type: "changed", key, uid, desired: want, sandbox: false, containers }];
}

function groupByKey(pods: readonly KnownPod[]): Map<string, KnownPod[]> {
  const groups = new Map<string, KnownPod[]>();
  for (const pod of pods) {
    const group = groups.get(pod.key);
    if (group === undefined) groups.set(pod.key, [pod]);
    else group.push(pod);
  }
  return groups;
}

function idOf(difference: Difference): string {
  switch (difference.type) {
    case "missing":
      return "";
    case "unmanaged":
    case "changed":
    case "unwanted":
      return difference.uid;
  }
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
