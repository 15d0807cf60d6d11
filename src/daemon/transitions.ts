import type { PodObject, PodWatchEvent } from "../api/contract.ts";
import { podSummary } from "../status.ts";
import type { Clock } from "../system/clock.ts";

/**
 * One readable line per pod transition, for whoever watches `gantry daemon` in a terminal:
 * "15:04:05  default/hello  Running  1/1  10.77.0.2".
 */
export function createTransitionLines(clock: Clock, line: (text: string) => void): (change: PodWatchEvent) => void {
  const shown = new Map<string, string>();
  return ({ type, object }) => {
    const { uid, namespace, name } = object.metadata;
    const text = type === "DELETED" ? "Removed" : wordsFor(object, clock.now());
    // How its containers end while it goes away is no news.
    if (type !== "DELETED" && object.metadata.deletionTimestamp !== undefined && shown.get(uid) === TERMINATING) return;
    if (shown.get(uid) === text) return;
    if (type === "DELETED") shown.delete(uid);
    else shown.set(uid, text);
    const time = new Date(clock.now()).toTimeString().slice(0, 8);
    line(`${time}  ${namespace}/${name}  ${text}`);
  };
}

const TERMINATING = "Terminating";

function wordsFor(pod: PodObject, now: number): string {
  if (pod.metadata.deletionTimestamp !== undefined) return TERMINATING;
  const { ready, status, restarts } = podSummary(pod, now);
  const ended = status === "ContainerCreating" ? endedJustNow(pod) : undefined;
  if (ended !== undefined) return `Restarting  ${ready}  ${ended}`;
  const times = Number.parseInt(restarts, 10);
  const address = status === "Running" ? (pod.status.podIP ?? "") : "";
  return [status, ready, address, times > 0 ? `${times} restart${times === 1 ? "" : "s"}` : ""]
    .filter((word) => word !== "")
    .join("  ");
}

/** How the container ended that is being started again: "web: Error (exit code 137)". */
function endedJustNow({ status }: PodObject): string | undefined {
  for (const { name, state, lastState } of status.containerStatuses) {
    const end = lastState.terminated;
    if (state.waiting !== undefined && end !== undefined) return `${name}: ${end.reason} (exit code ${end.exitCode})`;
  }
  return undefined;
}
