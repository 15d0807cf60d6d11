import type { PodObject } from "../api/contract.ts";
import { podSummary } from "../pod/rules/summary.ts";

export const GOALS = ["ready", "succeeded", "deleted"] as const;
export type Goal = (typeof GOALS)[number];

export type Verdict =
  | { readonly type: "met" }
  | { readonly type: "not-yet"; readonly state: string }
  /** Waiting longer can't help. */
  | { readonly type: "never"; readonly state: string };

/**
 * Whether a pod (undefined: it is not there) has reached a goal, or never can.
 *
 * @param now ms since the epoch
 */
export function judge(pod: PodObject | undefined, goal: Goal, now: number): Verdict {
  if (pod === undefined) return goal === "deleted" ? { type: "met" } : { type: "not-yet", state: "does not exist" };
  const state = stateOf(pod, now);
  if (goal === "deleted") return { type: "not-yet", state };
  // How it ended before its manifest was changed says nothing of what it will be.
  if (!isInForce(pod)) return { type: "not-yet", state: `${state}; its change is not in force yet` };
  const { phase } = pod.status;
  switch (goal) {
    case "ready":
      if (isReady(pod)) return { type: "met" };
      // A pod that has ended for good is never ready again, until its manifest changes.
      return phase === "Succeeded" || phase === "Failed" ? { type: "never", state } : { type: "not-yet", state };
    case "succeeded":
      if (phase === "Succeeded") return { type: "met" };
      if (phase === "Failed") return { type: "never", state };
      if ((pod.spec.restartPolicy ?? "Always") === "Always") {
        return { type: "never", state: `${state}; its restartPolicy is Always, so it never ends` };
      }
      return { type: "not-yet", state };
  }
}

/** Whether what runs was made from what is wanted now. A daemon that does not tell is believed. */
export function isInForce({
  metadata: { generation = 0 },
  status: { observedGeneration = generation },
}: PodObject): boolean {
  return observedGeneration >= generation;
}

/** Of what is wanted now: the readiness of what is about to be replaced does not count. */
export function isReady(pod: PodObject): boolean {
  return (
    isInForce(pod) &&
    pod.status.conditions.some((condition) => condition.type === "Ready" && condition.status === "True")
  );
}

/** "is CrashLoopBackOff (0/1 ready, 3 restarts): app: back-off 40s …" */
export function stateOf(pod: PodObject, now: number): string {
  const { status, ready, restarts } = podSummary(pod, now);
  const counted = restarts === "0" ? "" : `, restarts ${restarts}`;
  const why = reasonsOf(pod);
  return `is ${status} (${ready} ready${counted})${why === "" ? "" : `: ${why}`}`;
}

function reasonsOf({ status }: PodObject): string {
  if (status.message !== undefined && status.message !== "") return status.message;
  const containers = [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])];
  const reasons = containers.flatMap(({ name, state }) => {
    if (state.waiting?.message !== undefined) return [`${name}: ${state.waiting.message}`];
    if (state.terminated !== undefined && state.terminated.exitCode !== 0) {
      return [`${name}: exit code ${state.terminated.exitCode}`];
    }
    return [];
  });
  return reasons.join("; ");
}
