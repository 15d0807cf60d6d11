import { describe, expect, it } from "vitest";
import { createKeyedQueue, type Outcome } from "../../src/reconcile/queue.ts";
import { ManualClock } from "../support/manual-clock.ts";

const done: Outcome = { type: "done" };

function gate(): { readonly promise: Promise<void>; readonly open: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return { promise, open: () => resolve() };
}

describe("the keyed queue", () => {
  it("works on a key once however often it is added before its turn", async () => {
    const seen: string[] = [];
    const hold = gate();
    const queue = createKeyedQueue({
      clock: new ManualClock(),
      concurrency: 1,
      onError: () => undefined,
      process: async (key) => {
        seen.push(key);
        await hold.promise;
        return done;
      },
    });
    queue.add("first");
    for (let i = 0; i < 5; i++) queue.add("second");
    hold.open();
    await queue.idle();
    expect(seen).toEqual(["first", "second"]);
  });

  it("looks again when a key is added while it is worked on, and never twice at once", async () => {
    let atOnce = 0;
    let most = 0;
    let runs = 0;
    const hold = gate();
    const queue = createKeyedQueue({
      clock: new ManualClock(),
      concurrency: 4,
      onError: () => undefined,
      process: async () => {
        runs++;
        atOnce++;
        most = Math.max(most, atOnce);
        await hold.promise;
        atOnce--;
        return done;
      },
    });
    queue.add("a");
    queue.add("a");
    queue.add("a");
    hold.open();
    await queue.idle();
    expect({ runs, most }).toEqual({ runs: 2, most: 1 });
  });

  it("retries a failing key with growing delays and holds up no other", async () => {
    const clock = new ManualClock();
    const delays: number[] = [];
    const worked: string[] = [];
    const queue = createKeyedQueue({
      clock,
      concurrency: 1,
      backoffBaseMs: 100,
      backoffMaxMs: 400,
      onError: (_key, _error, ms) => delays.push(ms),
      process: async (key) => {
        worked.push(key);
        if (key === "bad") throw new Error("no");
        return done;
      },
    });
    queue.add("bad");
    queue.add("good");
    await queue.idle();
    expect(worked).toEqual(["bad", "good"]);
    for (let i = 0; i < 4; i++) {
      clock.advance(400);
      await queue.idle();
    }
    expect(delays).toEqual([100, 200, 400, 400, 400]);
    await queue.close();
  });

  it("honours 'again' and never works on more keys than it may", async () => {
    const clock = new ManualClock();
    let runs = 0;
    const queue = createKeyedQueue({
      clock,
      concurrency: 2,
      onError: () => undefined,
      process: async () => (runs++ === 0 ? { type: "again", afterMs: 50 } : done),
    });
    queue.add("a");
    await queue.idle();
    clock.advance(49);
    await queue.idle();
    expect(runs).toBe(1);
    clock.advance(1);
    await queue.idle();
    expect(runs).toBe(2);
  });

  it("takes nothing more once closed", async () => {
    let runs = 0;
    const queue = createKeyedQueue({
      clock: new ManualClock(),
      concurrency: 1,
      onError: () => undefined,
      process: async () => {
        runs++;
        return done;
      },
    });
    await queue.close();
    queue.add("a");
    await queue.idle();
    expect(runs).toBe(0);
  });
});
