import { GantryError } from "./errors.ts";

/** Runs at most so many pieces of work at once; the others wait in the order in which they came. */
export interface Limiter {
  /** @throws cancelled when aborted while waiting */
  run<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T>;
}

export function createLimiter(limit: number): Limiter {
  let free = Math.max(1, Math.floor(limit));
  const waiting = new Set<() => void>();

  const acquire = async (signal: AbortSignal): Promise<void> => {
    if (signal.aborted) throw cancelled();
    if (free > 0) {
      free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const abort = (): void => {
      waiting.delete(resolve);
      reject(cancelled());
    };
    waiting.add(resolve);
    signal.addEventListener("abort", abort, { once: true });
    await promise.finally(() => signal.removeEventListener("abort", abort));
  };
  const release = (): void => {
    const [next] = waiting;
    if (next === undefined) {
      free++;
      return;
    }
    waiting.delete(next);
    next();
  };

  return {
    async run(work, signal) {
      await acquire(signal);
      try {
        return await work();
      } finally {
        release();
      }
    },
  };
}

function cancelled(): GantryError {
  return new GantryError("cancelled", "cancelled while waiting for its turn", { kind: "system" });
}
