import type { ServerResponse } from "node:http";
import type { Clock } from "../../system/clock.ts";
import type { Logger } from "../../system/log.ts";
import type { Call } from "./routing.ts";
import { Ticker } from "./ticker.ts";

/** Answers that go on for long: watches and logs. They end when the client leaves or the server closes. */
export class Streams {
  readonly #closing = new AbortController();
  readonly #open = new Set<Promise<void>>();
  readonly #log: Logger;
  readonly clock: Clock;
  /** For what watches are told about once a minute. */
  readonly minutes: Ticker;

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.clock = clock;
    this.minutes = new Ticker(clock, 60_000);
  }

  get open(): number {
    return this.#open.size;
  }

  /**
   * Sends what `source` yields, as fast as the client takes it.
   * @param source gets the signal that ends it, and a function that cuts a client off that takes nothing
   */
  send(
    call: Call,
    contentType: string,
    source: (signal: AbortSignal, cutOff: () => void) => AsyncIterable<Buffer>,
  ): void {
    const { reply, request } = call;
    reply.hijack();
    const response = reply.raw;
    const gone = new AbortController();
    const signal = AbortSignal.any([gone.signal, this.#closing.signal]);
    response.on("close", () => gone.abort());
    response.writeHead(200, { "content-type": contentType, "cache-control": "no-cache, private" });
    // The client must learn that its watch has begun, though nothing may happen for hours.
    response.flushHeaders();
    if (request.method === "HEAD") {
      response.end();
      return;
    }
    const pump = new Pump(response);
    const cutOff = (): void => {
      // What is in the socket's buffer may still be read; nothing more comes.
      if (pump.waits) response.destroy();
    };
    const done = pump.run(source(signal, cutOff)).catch((error) => {
      if (!gone.signal.aborted) this.#log.warn({ err: error, url: request.url }, "an answer was cut short");
      response.destroy();
    });
    this.#open.add(done);
    void done.finally(() => this.#open.delete(done));
  }

  /** Ends all of them in good order; those whose client takes nothing are left to be cut. */
  async close(patienceMs: number): Promise<void> {
    this.#closing.abort();
    let timer: NodeJS.Timeout | undefined;
    const enough = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, patienceMs);
    });
    await Promise.race([Promise.all(this.#open), enough]);
    clearTimeout(timer);
  }
}

/**
 * Sends one piece after the other, the next only when the client has taken the one before. Nothing waits in between:
 * what streams and TLS would hold of an answer for each of many watches is more than all the rest of them.
 */
class Pump {
  readonly #response: ServerResponse;
  #taken: (() => void) | undefined;

  constructor(response: ServerResponse) {
    this.#response = response;
    response.once("close", () => this.#taken?.());
  }

  /** A piece is under way that the client has not taken. */
  get waits(): boolean {
    return this.#taken !== undefined;
  }

  async run(source: AsyncIterable<Buffer>): Promise<void> {
    const response = this.#response;
    for await (const piece of source) {
      if (response.destroyed) return;
      await this.#send(piece);
    }
    response.end();
  }

  #send(piece: Buffer): Promise<void> {
    return new Promise((resolve) => {
      const taken = (): void => {
        this.#taken = undefined;
        resolve();
      };
      this.#taken = taken;
      this.#response.write(piece, taken);
    });
  }
}
