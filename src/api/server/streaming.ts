import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Logger } from "../../system/log.ts";
import type { Call } from "./routing.ts";

/** Answers that go on for long: watches and logs. They end when the client leaves or the server closes. */
export class Streams {
  readonly #closing = new AbortController();
  readonly #open = new Set<Promise<void>>();
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
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
    const cutOff = (): void => {
      // What is in the socket's buffer may still be read; nothing more comes.
      if (response.writableNeedDrain) response.destroy();
    };
    const done = pipeline(Readable.from(source(signal, cutOff), { objectMode: false }), response).catch((error) => {
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
