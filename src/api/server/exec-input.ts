import type { WebSocket } from "ws";
import type { ExecSession } from "../../sandbox/driver.ts";
import type { Logger } from "../../system/log.ts";
import { CHANNEL, parseSize } from "../channels.ts";

/** What a client may send before its command runs. Bytes. */
const MAX_HELD_BYTES = 1024 * 1024;
/** A connection that is not read from does not show its end; writing to it does. ms */
const PING_MS = 1000;

/** What a client sends: kept till the command runs, then handed to it at the speed at which it reads. */
export class ExecInput {
  readonly #socket: WebSocket;
  readonly #log: Logger;
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  #session: ExecSession | undefined;
  #ping: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket, log: Logger) {
    this.#socket = socket;
    this.#log = log;
    socket.on("message", (message: Buffer) => this.#take(message));
    socket.on("close", () => clearInterval(this.#ping));
  }

  /** The command runs. */
  handTo(session: ExecSession): void {
    this.#session = session;
    const { stdin } = session;
    // A command that ends before it has read everything is no error.
    stdin?.on("error", (err) => this.#log.debug({ err }, "exec: stdin was closed early"));
    stdin?.on("drain", () => this.#goOn());
    stdin?.on("close", () => this.#goOn());
    this.#goOn();
    for (const message of this.#held.splice(0)) this.#deliver(message, session);
  }

  #take(message: Buffer): void {
    if (this.#session !== undefined) {
      this.#deliver(message, this.#session);
      return;
    }
    this.#held.push(message);
    this.#heldBytes += message.length;
    if (this.#heldBytes > MAX_HELD_BYTES) this.#holdBack();
  }

  #deliver(message: Buffer, session: ExecSession): void {
    const payload = message.subarray(1);
    const { stdin } = session;
    switch (message[0]) {
      case CHANNEL.stdin:
        if (payload.length === 0 || stdin === undefined || !stdin.writable) return;
        if (!stdin.write(payload)) this.#holdBack();
        return;
      case CHANNEL.resize: {
        const text = payload.toString("utf8", 0, 100);
        const size = parseSize(text);
        if (size === undefined) this.#log.debug({ text }, "exec: this is not the size of a terminal");
        else session.resize(size.columns, size.rows);
        return;
      }
      case CHANNEL.close:
        if (payload[0] === CHANNEL.stdin && this.#socket.protocol === "v5.channel.k8s.io") stdin?.end();
        return;
      default:
        this.#log.debug({ channel: message[0] }, "exec: a message on a channel that a client may not write to");
    }
  }

  #holdBack(): void {
    if (this.#ping !== undefined || this.#socket.readyState !== this.#socket.OPEN) return;
    this.#socket.pause();
    this.#ping = setInterval(() => this.#socket.ping(), PING_MS);
  }

  #goOn(): void {
    clearInterval(this.#ping);
    this.#ping = undefined;
    this.#socket.resume();
  }
}
