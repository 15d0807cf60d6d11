/** In which order, and with how much grace, the containers of a pod are stopped. */
import type { ContainerKind } from "./slots.ts";

/** What a sidecar gets at least once the pod's grace is over, ms. */
export const SIDECAR_FLOOR_MS = 2000;

export interface LiveContainer {
  readonly id: string;
  readonly kind: ContainerKind;
  /** Its place in the spec. */
  readonly index: number;
}

export interface StopOrder {
  readonly id: string;
  readonly graceMs: number;
}

/**
 * TERM goes to mains (and to init containers, when one runs) at once; sidecars follow in reverse order, each after
 * the one before it has ended. Once the grace is over all that is left is told to end together.
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
  const floor = killAtOnce ? 0 : SIDECAR_FLOOR_MS;
  const first = live.filter(({ kind }) => kind !== "sidecar").map(({ id }) => ({ id, graceMs: leftMs }));
  const sidecars = live.filter(({ kind }) => kind === "sidecar").sort((a, b) => b.index - a.index);
  const stopSidecar = ({ id }: LiveContainer): StopOrder => ({ id, graceMs: Math.max(floor, leftMs) });
  if (leftMs === 0) return [...first, ...sidecars.map(stopSidecar)];
  return first.length > 0 ? first : sidecars.slice(0, 1).map(stopSidecar);
}
