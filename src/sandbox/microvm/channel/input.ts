import { Writable } from "node:stream";
import { EXEC_STDIN_WINDOW, MAX_PAYLOAD } from "../protocol/index.ts";
import type { AgentLink } from "./link.ts";

/** Input of a session on a link: no more is on its way than the agent has room for. */
export class SessionInput extends Writable {
  readonly #link: AgentLink;
  readonly #id: number;
  #window = EXEC_STDIN_WINDOW;
  #resume: (() => void) | undefined;

  constructor(link: AgentLink, id: number) {
    super();
    this.#link = link;
    this.#id = id;
    this.on("error", () => {}); // the command does not read to the end
    this.on("close", () => this.#resume?.());
  }

  /** The agent has passed so many bytes on. */
  credit(bytes: number): void {
    this.#window = Math.min(this.#window + bytes, EXEC_STDIN_WINDOW);
    this.#resume?.();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    void this.#send(chunk).then(() => done(), done);
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#link.data("execStdin", this.#id, new Uint8Array(), true);
    done();
  }

  async #send(chunk: Buffer): Promise<void> {
    for (let at = 0; at < chunk.length; ) {
      const size = Math.min(chunk.length - at, this.#window, MAX_PAYLOAD);
      if (size > 0) {
        this.#link.data("execStdin", this.#id, chunk.subarray(at, at + size));
        this.#window -= size;
        at += size;
        continue;
      }
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#resume = resolve;
      await promise;
      this.#resume = undefined;
      if (this.destroyed) return;
    }
  }
}
