/**
 * A keyed, level-triggered work queue: a key says only *look at this again*, never what happened.
 *
 * - a key waiting in the queue is not queued twice;
 * - a key added while it is being worked on is worked on once more afterwards, never at the same time;
 * - a failing key is retried with a backoff of its own, and holds up no other.
 *
 * The model is controller-runtime's work queue.
 */
import type { Clock, TimerHandle } from "../system/clock.ts";

export type Outcome =
  | { readonly type: "done" }
  /** Look again after `afterMs`, without counting as a failure. */
  | { readonly type: "again"; readonly afterMs: number };

export interface QueueOptions {
  readonly process: (key: string) => Promise<Outcome>;
  /** Told of every failure; the queue itself goes on. */
  readonly onError: (key: string, error: unknown, retryInMs: number) => void;
  readonly clock: Clock;
  /** How many keys are worked on at once. */
  readonly concurrency: number;
  /** First delay after a failure, doubled with each further one. Default 200 ms. */
  readonly backoffBaseMs?: number;
  /** Default 60,000 ms. */
  readonly backoffMaxMs?: number;
}

export interface KeyedQueue {
  add(key: string): void;
  /** Resolves when nothing is queued or in work (retries that wait for their time do not count). */
  idle(): Promise<void>;
  /** Takes no more keys and waits for those in work. */
  close(): Promise<void>;
}

export function createKeyedQueue(options: QueueOptions): KeyedQueue {
  const { process, onError, clock, concurrency, backoffBaseMs = 200, backoffMaxMs = 60_000 } = options;
  const waiting = new Set<string>();
  const working = new Set<string>();
  const dirty = new Set<string>();
  const failures = new Map<string, number>();
  const timers = new Map<string, TimerHandle>();
  const idleWaiters: (() => void)[] = [];
  let closed = false;

  const add = (key: string): void => {
    if (closed) return;
    if (working.has(key)) dirty.add(key);
    else waiting.add(key);
    pump();
  };

  const addLater = (key: string, ms: number): void => {
    clock.clearTimeout(timers.get(key));
    timers.set(
      key,
      clock.setTimeout(() => {
        timers.delete(key);
        add(key);
      }, ms),
    );
  };

  const pump = (): void => {
    for (const key of waiting) {
      if (working.size >= concurrency) break;
      waiting.delete(key);
      working.add(key);
      void work(key);
    }
    if (waiting.size === 0 && working.size === 0) {
      for (const resolve of idleWaiters.splice(0)) resolve();
    }
  };

  const work = async (key: string): Promise<void> => {
    try {
      const outcome = await process(key);
      failures.delete(key);
      if (outcome.type === "again") addLater(key, outcome.afterMs);
    } catch (error) {
      const count = failures.get(key) ?? 0;
      failures.set(key, count + 1);
      const delay = Math.min(backoffBaseMs * 2 ** count, backoffMaxMs);
      onError(key, error, delay);
      if (!closed) addLater(key, delay);
    } finally {
      working.delete(key);
      if (dirty.delete(key) && !closed) waiting.add(key);
      pump();
    }
  };

  const idle = (): Promise<void> =>
    waiting.size === 0 && working.size === 0 ? Promise.resolve() : new Promise((resolve) => idleWaiters.push(resolve));

  return {
    add,
    idle,
    async close() {
      closed = true;
      waiting.clear();
      dirty.clear();
      for (const timer of timers.values()) clock.clearTimeout(timer);
      timers.clear();
      await idle();
    },
  };
}
