/** Backoff as the kubelet documents it: 10 s, doubling to 5 minutes, forgotten after a run of 10 minutes. */

export const BACKOFF_BASE_MS = 10_000;
export const BACKOFF_MAX_MS = 300_000;
/** A run this long makes the next failure the first one again. */
export const BACKOFF_RESET_MS = 600_000;

/**
 * How long after its end a container starts again, in ms. The first restart (`level` 0) is immediate, so that an app
 * that exits at once is started at 0, 0, 10, 30, 70, 150, 310 s.
 */
export function restartDelay(level: number, maxMs: number = BACKOFF_MAX_MS): number {
  return level <= 0 ? 0 : retryDelay(level - 1, maxMs);
}

/** How long to wait before work that failed `failures + 1` times in a row is tried again, in ms. */
export function retryDelay(failures: number, maxMs: number = BACKOFF_MAX_MS): number {
  // Beyond 2^30 the doubling has long passed every maximum.
  return Math.min(maxMs, BACKOFF_BASE_MS * 2 ** Math.min(failures, 30));
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
