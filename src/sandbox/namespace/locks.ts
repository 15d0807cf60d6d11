import { GantryError } from "../../system/errors.ts";

/** One holder per key at a time, in the order of asking. */
export interface KeyedLock {
  /** Runs `work` once the key is free. @throws GantryError cancelled, when aborted while waiting */
  run<T>(key: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T>;
}

export function keyedLock(): KeyedLock {
  const tails = new Map<string, Promise<void>>();
  return {
    async run(key, signal, work) {
      const before = tails.get(key) ?? Promise.resolve();
      const { promise: mine, resolve: release } = Promise.withResolvers<void>();
      const tail = before.then(() => mine);
      tails.set(key, tail);
      try {
        await turn(before, signal);
        return await work();
      } finally {
        release();
        if (tails.get(key) === tail) tails.delete(key);
      }
    },
  };
}

async function turn(before: Promise<void>, signal: AbortSignal | undefined): Promise<void> {
  if (signal === undefined) return await before;
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void =>
    reject(new GantryError("cancelled", "cancelled while waiting for its turn", { kind: "system" }));
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    await Promise.race([aborted, before]);
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

/** Lets in many at once, or one who must be alone. */
export interface Gate {
  /** Runs `work` beside others; waits only for one who is alone. @throws GantryError cancelled */
  enter<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
  /** Runs `work` once nobody is inside. Holds nobody up before that: on a busy host it waits for a quiet moment. */
  alone<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T>;
}

export function createGate(): Gate {
  /** Those inside, and those who only wait for the one who is alone: they come before the next such one. */
  let many = 0;
  let loner: Promise<void> | undefined;
  let quiet: PromiseWithResolvers<void> | undefined;
  return {
    async enter(signal, work) {
      many++;
      try {
        if (loner) await turn(loner, signal);
        return await work();
      } finally {
        if (--many === 0) {
          quiet?.resolve();
          quiet = undefined;
        }
      }
    },
    async alone(signal, work) {
      while (many > 0 || loner) {
        if (!loner) quiet ??= Promise.withResolvers();
        await turn(loner ?? quiet?.promise ?? Promise.resolve(), signal);
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      loner = promise;
      try {
        return await work();
      } finally {
        loner = undefined;
        resolve();
      }
    },
  };
}
