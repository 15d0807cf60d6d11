import { Duplex, Writable } from "node:stream";
import type { WebSocket } from "ws";
import type { Logger } from "../../system/log.ts";
import { CHANNEL, channelMessage } from "../channels.ts";
import { type Connect, forward } from "./forward.ts";

/** A client that does not answer the closing handshake is cut off after this. ms */
const CLOSE_TIMEOUT_MS = 5000;
/** A connection that is not read from does not show its end; writing to it does. ms */
const PING_MS = 1000;
const MAX_PIECE_BYTES = 64 * 1024;

/**
 * Port forwarding as v4.channel.k8s.io has it, one connection for each port that the request names: channel 2n carries
 * the data of the nth port, 2n+1 what went wrong with it, and each begins with the port (16 bits, little endian).
 * Beyond what Kubernetes has, a client may end its data as v5.channel.k8s.io ends stdin: 255, then the channel.
 * Resolves when all ports are done or the client has left.
 */
export async function serveForwardOnChannels(
  socket: WebSocket,
  ports: readonly number[],
  connect: Connect,
  log: Logger,
): Promise<void> {
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  socket.on("error", (err) => log.debug({ err }, "port-forward: the connection failed"));
  const flow = new Flow(socket);
  const all = ports.map((port, index) => {
    const [data, error] = [new ChannelData(socket, index * 2, flow), errorChannel(socket, index * 2 + 1)];
    const head = Buffer.alloc(2);
    head.writeUInt16LE(port);
    for (const channel of [index * 2, index * 2 + 1]) socket.send(channelMessage(channel, head), () => {});
    void closed.then(() => data.destroy());
    return { data, done: forward(data, error, port, connect) };
  });
  socket.on("message", (message: Buffer) => {
    const channel = message[0] ?? CHANNEL.close;
    const to = (of: number) => (of % 2 === 0 ? all[of / 2]?.data : undefined);
    const data = to(channel);
    if (channel === CHANNEL.close) to(message[1] ?? CHANNEL.close)?.receiveEnd();
    else if (data !== undefined) data.receive(message.subarray(1));
    else log.debug({ channel }, "port-forward: a message on a channel that a client may not write to");
  });
  await Promise.race([closed, Promise.all(all.map(({ done }) => done))]);
  socket.close(1000);
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
}

/** Reads from the client only while every port takes what comes. */
class Flow {
  readonly #socket: WebSocket;
  readonly #full = new Set<ChannelData>();
  #ping: NodeJS.Timeout | undefined;

  constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("close", () => clearInterval(this.#ping));
  }

  set(channel: ChannelData, full: boolean): void {
    if (full) this.#full.add(channel);
    else this.#full.delete(channel);
    if (this.#full.size === 0) {
      clearInterval(this.#ping);
      this.#ping = undefined;
      this.#socket.resume();
    } else if (this.#ping === undefined && this.#socket.readyState === this.#socket.OPEN) {
      this.#socket.pause();
      this.#ping = setInterval(() => this.#socket.ping(), PING_MS);
    }
  }
}

/** The data of one port. */
class ChannelData extends Duplex {
  readonly #socket: WebSocket;
  readonly #channel: number;
  readonly #flow: Flow;

  constructor(socket: WebSocket, channel: number, flow: Flow) {
    super();
    this.#socket = socket;
    this.#channel = channel;
    this.#flow = flow;
    this.on("error", () => {}); // its end tells it all
  }

  receive(payload: Buffer): void {
    if (!this.destroyed && payload.length > 0 && !this.push(payload)) this.#flow.set(this, true);
  }

  /** The client sends nothing more. */
  receiveEnd(): void {
    if (!this.destroyed && !this.readableEnded) this.push(null);
  }

  override _read(): void {
    this.#flow.set(this, false);
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    send(this.#socket, this.#channel, chunk, done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#flow.set(this, false);
    done(error);
  }
}

function errorChannel(socket: WebSocket, channel: number): Writable {
  return new Writable({ write: (chunk: Buffer, _encoding, done) => send(socket, channel, chunk, done) });
}

/** Each piece waits until it is sent, so that a fast app is held back. */
function send(socket: WebSocket, channel: number, chunk: Buffer, done: () => void): void {
  if (socket.readyState !== socket.OPEN || chunk.length === 0) {
    done();
    return;
  }
  for (let start = 0; start < chunk.length; start += MAX_PIECE_BYTES) {
    const last = start + MAX_PIECE_BYTES >= chunk.length;
    socket.send(channelMessage(channel, chunk.subarray(start, start + MAX_PIECE_BYTES)), () => last && done());
  }
}
