import { createConnection, createServer, type Server } from "node:net";
import { type Clock, systemClock } from "../../../src/system/clock.ts";

/** From when on, by the host's clock, and by how many ms in all a clock is ahead. */
export interface ClockStep {
  readonly at: number;
  readonly ahead: number;
}

interface Timer {
  readonly fn: () => void;
  readonly dueAt: number;
  handle: NodeJS.Timeout | undefined;
}

/** The time of this host, which can be put on: timers that are due then fire, in their order. */
export class SkippingClock implements Clock {
  #ahead = 0;
  readonly #steps: ClockStep[] = [];
  readonly #timers = new Set<Timer>();

  constructor(steps: readonly ClockStep[]) {
    this.#steps.push(...steps);
    this.#ahead = steps.at(-1)?.ahead ?? 0;
  }

  ofHost(ms: number): number {
    return ms + (this.#steps.findLast(({ at }) => at <= ms)?.ahead ?? 0);
  }

  // Bound, since its users pass them on.
  readonly now = (): number => systemClock.now() + this.#ahead;

  readonly setTimeout = (fn: () => void, ms: number): Timer => {
    const timer: Timer = { fn, dueAt: this.now() + ms, handle: undefined };
    this.#timers.add(timer);
    this.#arm(timer);
    return timer;
  };

  readonly clearTimeout = (timer: unknown): void => {
    const known = timer as Timer;
    if (this.#timers.delete(known)) clearTimeout(known.handle);
  };

  #arm(timer: Timer): void {
    clearTimeout(timer.handle);
    const fire = (): void => {
      if (this.#timers.delete(timer)) timer.fn();
    };
    timer.handle = setTimeout(fire, Math.max(0, timer.dueAt - this.now()));
  }

  advance(ms: number): void {
    this.#ahead += ms;
    this.#steps.push({ at: systemClock.now(), ahead: this.#ahead });
    for (const timer of [...this.#timers].sort((a, b) => a.dueAt - b.dueAt)) this.#arm(timer);
  }
}

/** Lets others put `clock` on: each connection sends the ms as text. */
export function serveClock(clock: SkippingClock, socketPath: string): Server {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.on("data", (data: Buffer) => {
      clock.advance(Number(data.toString("utf8")));
      socket.end("done");
    });
  });
  server.listen(socketPath);
  server.unref();
  return server;
}

/** Puts the clock of the daemon behind `socketPath` on by `ms`. */
export function putOn(socketPath: string, ms: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath, () => socket.write(String(ms)));
    socket.on("error", reject);
    socket.on("data", () => {
      socket.end();
      resolve();
    });
  });
}
