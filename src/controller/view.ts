import type { Pod } from "../manifest/index.ts";
import type { PodState } from "../pod/contract.ts";
import { conditionsOf } from "../pod/rules/conditions.ts";
import { phaseOf } from "../pod/rules/phase.ts";
import type { PodView } from "./contract.ts";

/** A pod as controllers see it. @param state undefined while it is not begun @param createdAt ms since the epoch. Pure. */
export function podView(pod: Pod, createdAt: number, state: PodState | undefined): PodView {
  const key = `${pod.metadata.namespace}/${pod.metadata.name}`;
  if (state === undefined) {
    const nothing = { ready: false, readyAt: undefined, deleting: false, restarts: 0, endedAt: undefined };
    return { key, pod, createdAt, phase: "Pending", ...nothing };
  }
  const ready = conditionsOf(state).find(({ type }) => type === "Ready");
  const isReady = ready?.status === "True";
  const ends = state.containers.flatMap(({ state: at }) => (at.type === "terminated" ? [at.finishedAt] : []));
  return {
    key,
    pod,
    createdAt,
    phase: phaseOf(state),
    ready: isReady,
    readyAt: isReady && ready !== undefined ? Date.parse(ready.lastTransitionTime) : undefined,
    deleting: state.deletionDeadline !== undefined,
    restarts: state.containers.reduce((sum, { restartCount }) => sum + restartCount, 0),
    endedAt: ends.length === 0 ? undefined : Math.max(...ends),
  };
}
