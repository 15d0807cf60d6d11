/** In which order, and with how much grace, the containers of a pod are stopped. */
import type { ContainerKind } from "./slots.ts";

/**
 * What a container gets at least between TERM and KILL when its turn, or its preStop hook, has used up the grace
 * (kuberuntime_container.go, minimumGracePeriodInSeconds). ms
 */
export const GRACE_FLOOR_MS = 2000;

export interface LiveContainer {
  readonly id: string;
  readonly kind: ContainerKind;
  /** Its place in the spec. */
  readonly index: number;
  readonly preStop: "none" | "pending" | "done";
}

export interface StopOrder {
  readonly id: string;
  readonly graceMs: number;
}

/**
 * TERM goes to mains (and to init containers, when one runs) at once, or when their preStop hook is done; sidecars
 * follow in reverse order, each after the one before it has ended. Once the grace is over all that is left is told to
 * end together, whatever its hook does.
 * @param deadline when the grace is over, ms since the epoch
 * @param killAtOnce the pod is deleted with a grace of 0: nobody gets a floor
 * @returns what is to be being stopped now; containers that are so already are among them
 */
export function shutdownOrder(
  live: readonly LiveContainer[],
  deadline: number,
  now: number,
  killAtOnce = false,
): StopOrder[] {
  const leftMs = Math.max(0, deadline - now);
  const floor = killAtOnce ? 0 : GRACE_FLOOR_MS;
  const first = live.filter(({ kind }) => kind !== "sidecar");
  const sidecars = live.filter(({ kind }) => kind === "sidecar").sort((a, b) => b.index - a.index);
  const order = ({ id, kind, preStop }: LiveContainer): StopOrder => ({
    id,
    graceMs: kind === "sidecar" || preStop !== "none" ? Math.max(floor, leftMs) : leftMs,
  });
  if (leftMs === 0) return [...first, ...sidecars].map(order);
  const turn = first.length > 0 ? first : sidecars.slice(0, 1);
  return turn.filter(({ preStop }) => preStop !== "pending").map(order);
}

/** What is left of a grace after a preStop hook took its time. ms */
export function graceLeft(graceMs: number, tookMs: number): number {
  return Math.max(GRACE_FLOOR_MS, graceMs - tookMs);
}
