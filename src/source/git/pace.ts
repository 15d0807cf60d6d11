/** When to look at a remote again. Pure. */

const FIRST_RETRY_MS = 5_000;
const LONGEST_RETRY_MS = 600_000;
/** The longest that node's timers can wait, with room. */
export const LONGEST_TIMER_MS = 2 ** 30;

/**
 * ms until the next fetch: the interval, give or take a tenth, so that many hosts don't ask at the same time; after
 * failures 5 s, doubled with each, up to 10 min (or the interval, if that is longer).
 * @param failures in a row
 * @param random from 0 to 1
 */
export function nextFetchMs(intervalMs: number, failures: number, random: number): number {
  const jitter = 0.9 + 0.2 * random;
  if (failures === 0) return Math.round(intervalMs * jitter);
  const retry = Math.min(FIRST_RETRY_MS, intervalMs) * 2 ** Math.min(failures - 1, 20);
  return Math.round(Math.min(retry, Math.max(LONGEST_RETRY_MS, intervalMs)) * jitter);
}
