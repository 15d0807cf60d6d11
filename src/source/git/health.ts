/** How the pods of a source are, and what that means for a revision on probation. Pure. */
import { type Kept, remainingMs, type SourceFacts } from "./facts.ts";

export type Health = "Healthy" | "Progressing" | "Degraded";

export interface SourcePod {
  /** "<namespace>/<name>" */
  readonly key: string;
  /** Runs by what the source says; false while that is still to be taken over. */
  readonly synced: boolean;
  readonly health: Health;
  /** ms since the epoch; undefined while there is none yet. */
  readonly createdAt: number | undefined;
  /** ms since the epoch, while it is ready. */
  readonly readySince: number | undefined;
  /** Why it is not as it should be. */
  readonly message: string | undefined;
  /** It will not become ready as it is written: it was rolled back by itself. */
  readonly final: boolean;
  /** The same for two versions between which nothing is restarted. */
  readonly version: string;
  /** The wave that its object is in. */
  readonly wave: number;
  /** The id of the revision that it runs by; undefined while it runs by what was before, or is kept. */
  readonly revision: string | undefined;
  /** Its object is not in the revision, and stays: the file is broken now, or it is not to be pruned. */
  readonly kept: Kept["why"] | undefined;
}

/** The worst of all; what has no pods is healthy. */
export function healthOf(pods: readonly SourcePod[]): Health {
  if (pods.some(({ health }) => health === "Degraded")) return "Degraded";
  return pods.every(({ health, synced }) => health === "Healthy" && synced) ? "Healthy" : "Progressing";
}

/** Which pods say nothing about the next revision, because they are not ready now. */
export function excusedPods(pods: readonly SourcePod[]): string[] {
  return pods.filter(({ readySince }) => readySince === undefined).map(markOf);
}

function markOf({ key, version }: SourcePod): string {
  return `${key}#${version}`;
}

export type Judgement =
  /** Look again after so many ms, or when a pod changes. */
  | { readonly type: "wait"; readonly afterMs: number }
  | { readonly type: "healthy" }
  | { readonly type: "failed"; readonly message: string };

/** @param settleMs that a pod must have been ready */
export function judge(
  trying: NonNullable<SourceFacts["trying"]>,
  pods: readonly SourcePod[],
  now: number,
  settleMs: number,
): Judgement {
  const asked = pods.filter((pod) => !trying.excused.includes(markOf(pod)));
  const final = asked.find((pod) => pod.final);
  if (final !== undefined)
    return {
      type: "failed",
      message: `pod ${final.key} did not become ready: ${final.message ?? "it was rolled back"}`,
    };
  const unready = asked.filter(({ readySince, synced }) => readySince === undefined || !synced);
  const remaining = remainingMs(trying, now);
  if (unready.length > 0) {
    if (remaining > 0) return { type: "wait", afterMs: remaining };
    const [first] = unready;
    const seconds = Math.round((trying.until - trying.since) / 1000);
    const others = unready.length > 1 ? ` and ${unready.length - 1} more` : "";
    const why = first?.message === undefined ? "" : ` (${first.message})`;
    return { type: "failed", message: `pod ${first?.key}${others} did not become ready within ${seconds} s${why}` };
  }
  // A clock that was set back makes nobody wait longer than it takes to settle.
  const settles = asked.map(({ readySince = 0 }) => Math.min(settleMs, readySince + settleMs - now));
  const longest = Math.max(0, ...settles);
  return longest <= 0 ? { type: "healthy" } : { type: "wait", afterMs: longest };
}

/** Whether the next wave may begin. */
export function waveIsDone(pods: readonly SourcePod[], wave: number): boolean {
  return pods.every((pod) => pod.wave > wave || (pod.readySince !== undefined && pod.synced));
}
