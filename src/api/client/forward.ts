import { Duplex } from "node:stream";
import type { RawData, WebSocket } from "ws";
import { GantryError } from "../../system/errors.ts";
import { CHANNEL, channelMessage } from "../channels.ts";
import type { Endpoint } from "./endpoint.ts";
import { asBuffer, openSocket } from "./socket.ts";
import { unreachable } from "./unreachable.ts";

const DATA = 0;
const ERROR = 1;
/** The server takes messages of a limited size. Bytes. */
const MAX_PIECE_BYTES = 64 * 1024;
/** Both channels begin with the port, which says nothing that is not known. Bytes. */
const HEAD_BYTES = 2;
const MAX_SAID_BYTES = 8192;

/**
 * Connects to a port of a pod: one session with one connection in it (v4.channel.k8s.io). It is destroyed with an error
 * of code network-failed when nothing listens there. An end of what is written is passed on.
 * @throws the daemon's own error when it refuses; daemon-unreachable, cancelled
 */
export async function openForward(endpoint: Endpoint, path: string, signal: AbortSignal | undefined): Promise<Duplex> {
  const { socket, opened } = await openSocket(endpoint, path, ["v4.channel.k8s.io"], signal);
  const connection = new Forwarded(socket, endpoint);
  await opened;
  return connection;
}

class Forwarded extends Duplex {
  readonly #socket: WebSocket;
  #said = "";
  readonly #heads = new Map<number, number>([
    [DATA, HEAD_BYTES],
    [ERROR, HEAD_BYTES],
  ]);

  constructor(socket: WebSocket, endpoint: Endpoint) {
    super();
    this.#socket = socket;
    socket.on("message", (data: RawData) => this.#receive(asBuffer(data)));
    socket.once("close", (code: number) => {
      if (this.#said !== "") this.destroy(new GantryError("network-failed", this.#said.trim()));
      else if (code === 1000) this.push(null);
      else this.destroy(unreachable(endpoint, Object.assign(new Error(), { code: "ECONNRESET" })));
    });
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    const { OPEN } = this.#socket;
    // The app has closed its connection: what is still sent goes nowhere, as on any connection.
    if (this.#socket.readyState !== OPEN || chunk.length === 0) {
      done();
      return;
    }
    for (let start = 0; start < chunk.length; start += MAX_PIECE_BYTES) {
      const last = start + MAX_PIECE_BYTES >= chunk.length;
      this.#socket.send(channelMessage(DATA, chunk.subarray(start, start + MAX_PIECE_BYTES)), () => last && done());
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#socket.readyState === this.#socket.OPEN)
      this.#socket.send(Buffer.from([CHANNEL.close, DATA]), () => done());
    else done();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.terminate();
    done(error);
  }

  #receive(message: Buffer): void {
    const channel = message[0] ?? CHANNEL.close;
    const head = this.#heads.get(channel) ?? 0;
    const payload = message.subarray(1 + head);
    this.#heads.set(channel, Math.max(0, head - (message.length - 1)));
    if (payload.length === 0 || this.destroyed) return;
    if (channel === ERROR) {
      if (this.#said.length < MAX_SAID_BYTES) this.#said += payload.toString("utf8");
    } else if (channel === DATA && !this.push(payload)) {
      // Let the app wait for whoever reads this.
      this.#socket.pause();
    }
  }
}
