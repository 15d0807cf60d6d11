import { setTimeout as sleep } from "node:timers/promises";

/**
 * Makes a function that takes the event loop for itself safe to call a thousand times in a row: after a run that took
 * n ms the next begins n ms later, so that it never costs more than half of a core. The first call runs at once, and
 * what was called while one waits is one call.
 */
export function pace(run: () => Promise<void>): () => Promise<void> {
  let restUntil = 0;
  let waiting: Promise<void> | undefined;
  const go = async (): Promise<void> => {
    const begun = performance.now();
    try {
      await run();
    } finally {
      const ended = performance.now();
      restUntil = ended + (ended - begun);
    }
  };
  const rested = async (ms: number): Promise<void> => {
    await sleep(ms);
    waiting = undefined;
    await go();
  };
  return () => {
    const rest = restUntil - performance.now();
    if (waiting === undefined && rest <= 0) return go();
    waiting ??= rested(rest);
    return waiting;
  };
}
