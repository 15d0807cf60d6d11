import type { Clock } from "../system/clock.ts";
import { GantryError } from "../system/errors.ts";

/** What `within` gives when time is up. */
export const LATE: unique symbol = Symbol("late");

/**
 * Runs `work` for no longer than `ms` of the clock; then its signal is aborted and whatever it still does is nobody's
 * business. @throws GantryError cancelled when `signal` is aborted, whatever `work` does; else what `work` throws
 */
export async function within<T>(
  clock: Clock,
  ms: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T | typeof LATE> {
  if (signal.aborted) throw cancelled();
  const own = new AbortController();
  const { promise: over, resolve: late, reject: cancel } = Promise.withResolvers<typeof LATE>();
  const onAbort = (): void => cancel(cancelled());
  signal.addEventListener("abort", onAbort, { once: true });
  const timer = clock.setTimeout(() => late(LATE), ms);
  const result = work(own.signal);
  result.catch(() => {}); // it may lose the race
  let settled = false;
  try {
    const outcome = await Promise.race([result, over]);
    settled = outcome !== LATE;
    return outcome;
  } catch (error) {
    settled = !signal.aborted;
    throw error;
  } finally {
    clock.clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    // Aborting costs more than everything else here, so it is not done for nothing.
    if (!settled) own.abort();
  }
}

export function cancelled(): GantryError {
  return new GantryError("cancelled", "the check was called off", { kind: "system" });
}

/** "1 s", "0.5 s" */
export function seconds(ms: number): string {
  return `${ms / 1000} s`;
}
