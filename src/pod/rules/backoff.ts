/** Backoff as the kubelet documents it: 10 s, doubling to 5 minutes, forgotten after a run of 10 minutes. */

import {
  BACKOFF_BASE_ANNOTATION,
  BACKOFF_MAX_ANNOTATION,
  BACKOFF_RESET_ANNOTATION,
  secondsIn,
} from "../../manifest/pod-annotations.ts";

export const BACKOFF_BASE_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;
/** A run this long makes the next failure the first one again. */
export const BACKOFF_RESET_MS = 600_000;

/**
 * How long after its end a container starts again, in ms. The first restart (`level` 0) is immediate, so that an app
 * that exits at once is started at 0, 0, 10, 30, 70, 150, 310 s.
 */
export function restartDelay(level: number, maxMs: number = BACKOFF_MAX_MS, baseMs: number = BACKOFF_BASE_MS): number {
  return level <= 0 ? 0 : retryDelay(level - 1, maxMs, baseMs);
}

/** How a pod's containers are restarted. */
export interface Backoff {
  /** The longest wait, ms. */
  readonly maxBackoffMs: number;
  /** The first wait, ms; 10 s unless said otherwise. */
  readonly baseBackoffMs?: number;
  /** A run this long makes the next failure the first one again, ms; 10 min unless said otherwise. */
  readonly resetBackoffMs?: number;
}

/** How long to wait before work that failed `failures + 1` times in a row is tried again, in ms. */
export function retryDelay(failures: number, maxMs: number = BACKOFF_MAX_MS, baseMs: number = BACKOFF_BASE_MS): number {
  // Beyond 2^30 the doubling has long passed every maximum.
  return Math.min(maxMs, baseMs * 2 ** Math.min(failures, 30));
}

/**
 * The longest backoff of one pod in ms: its annotation (1–300 s) or the node's setting.
 * @returns `invalid` holds an annotation that is no such number; the node's setting applies then
 */
export function maxBackoff(
  annotation: string | undefined,
  nodeMaxMs: number,
): { ms: number; invalid: string | undefined } {
  if (annotation === undefined) return { ms: nodeMaxMs, invalid: undefined };
  const seconds = /^\d{1,3}$/.test(annotation) ? Number(annotation) : 0;
  if (seconds < 1 || seconds > 300) return { ms: nodeMaxMs, invalid: annotation };
  return { ms: seconds * 1000, invalid: undefined };
}

/** What a pod's annotations say of its backoff; what they leave open is the node's. */
export function backoffOf(annotations: Readonly<Record<string, string>> | undefined, nodeMaxMs: number): Backoff {
  const { ms } = maxBackoff(annotations?.[BACKOFF_MAX_ANNOTATION], nodeMaxMs);
  const base = secondsIn(annotations, BACKOFF_BASE_ANNOTATION);
  const reset = secondsIn(annotations, BACKOFF_RESET_ANNOTATION);
  return {
    maxBackoffMs: ms,
    ...(base !== undefined && { baseBackoffMs: base * 1000 }),
    ...(reset !== undefined && { resetBackoffMs: reset * 1000 }),
  };
}
