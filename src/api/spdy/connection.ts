import { Duplex } from "node:stream";
import { messageOf } from "../../system/errors.ts";
import { controlFrame, dataFrame, type Frame, FrameReader, RESET, SpdyError, TYPE } from "./frames.ts";
import { EmptyHeaders, HeaderReader } from "./headers.ts";

/** Port forwarding takes two for each connection. */
const MAX_STREAMS = 512;
/** What has arrived and nobody has read yet; more, and the whole connection waits: SPDY clients of Kubernetes know no windows. Bytes. */
const STREAM_BUFFER_BYTES = 256 * 1024;
const MAX_PIECE_BYTES = 64 * 1024;
/** A connection that is not read from does not show its end; writing to it does. ms */
const PING_MS = 1000;

export type StreamHeaders = ReadonlyMap<string, string>;

/** One stream of a connection: ends, and may be ended, on each side by itself. */
export class SpdyStream extends Duplex {
  readonly id: number;
  readonly headers: StreamHeaders;
  readonly #send: (frame: Buffer, done: (error?: Error | null) => void) => void;
  readonly #forget: (reset: boolean) => void;
  #drained: (() => void) | undefined;
  /** The other end sends nothing more. */
  #over = false;
  #givenUp = false;

  constructor(
    id: number,
    headers: StreamHeaders,
    send: (frame: Buffer, done: (error?: Error | null) => void) => void,
    forget: (reset: boolean) => void,
  ) {
    super({ readableHighWaterMark: STREAM_BUFFER_BYTES, writableHighWaterMark: MAX_PIECE_BYTES });
    this.id = id;
    this.headers = headers;
    this.#send = send;
    this.#forget = forget;
    this.on("error", () => {}); // whoever uses the stream learns of it by its end
  }

  /** @returns when there is room for more; undefined: now */
  receive(payload: Buffer, fin: boolean): Promise<void> | undefined {
    if (this.#over || this.destroyed) return undefined;
    // The payload is part of a larger buffer, which it would keep.
    const room = payload.length === 0 || this.push(Buffer.from(payload));
    if (fin) {
      this.#over = true;
      this.push(null);
    }
    if (room || this.destroyed) return undefined;
    return new Promise((resolve) => {
      this.#drained = resolve;
    });
  }

  /** The other end has given it up. */
  reset(): void {
    this.#givenUp = true;
    this.destroy();
  }

  override _read(): void {
    this.#goOn();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    for (let start = 0; start < chunk.length; start += MAX_PIECE_BYTES) {
      const last = start + MAX_PIECE_BYTES >= chunk.length;
      this.#send(dataFrame(this.id, chunk.subarray(start, start + MAX_PIECE_BYTES), false), last ? done : () => {});
    }
    if (chunk.length === 0) done();
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#send(dataFrame(this.id, new Uint8Array(), true), done);
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#goOn();
    this.#forget(!this.#givenUp && (!this.#over || !this.writableFinished));
    done(error);
  }

  #goOn(): void {
    this.#drained?.();
    this.#drained = undefined;
  }
}

/**
 * The server's end of SPDY/3.1, as the clients of Kubernetes speak it: they open all streams, ping, and know no flow
 * control but that of the connection below, so that one stream which nobody reads holds all others back.
 */
export class SpdyConnection {
  readonly #transport: Duplex;
  readonly #streams = new Map<number, SpdyStream>();
  readonly #headers = new HeaderReader();
  readonly #replies = new EmptyHeaders();
  readonly #onStream: (stream: SpdyStream) => boolean;
  #pings = 0;
  #failure: string | undefined;
  /** Resolves when the connection has ended, with what was wrong, if anything. */
  readonly closed: Promise<string | undefined>;

  /** @param onStream takes a new stream, or (false) refuses it */
  constructor(transport: Duplex, onStream: (stream: SpdyStream) => boolean) {
    this.#transport = transport;
    this.#onStream = onStream;
    transport.on("error", () => {}); // its end tells it all
    this.closed = this.#read();
  }

  /** Ends it: what was sent before may still be read by the other end, for `patienceMs`. */
  async end(patienceMs: number): Promise<void> {
    this.#write(controlFrame(TYPE.goAway, [0, 0]), () => {});
    const timer = setTimeout(() => this.destroy(), patienceMs);
    if (!this.#transport.destroyed) this.#transport.end();
    await this.closed;
    clearTimeout(timer);
  }

  destroy(): void {
    this.#transport.destroy();
  }

  async #read(): Promise<string | undefined> {
    const reader = new FrameReader();
    try {
      for await (const chunk of this.#transport as AsyncIterable<Buffer>) {
        for (const frame of reader.push(chunk)) await this.#handle(frame);
      }
    } catch (error) {
      // The end of the connection itself is no failure: clients leave like that.
      if (error instanceof SpdyError) this.#failure = messageOf(error);
    }
    this.#headers.close();
    for (const stream of [...this.#streams.values()]) stream.reset();
    this.#transport.destroy();
    return this.#failure;
  }

  async #handle(frame: Frame): Promise<void> {
    switch (frame.type) {
      case "synStream":
        return this.#open(frame.stream, await this.#headers.read(frame.block), frame.fin);
      case "synReply":
      case "headers": {
        // Read all the same: the blocks that follow depend on it.
        await this.#headers.read(frame.block);
        if (frame.fin) await this.#streams.get(frame.stream)?.receive(Buffer.alloc(0), true);
        return;
      }
      case "data": {
        const room = this.#streams.get(frame.stream)?.receive(frame.payload, frame.fin);
        if (room !== undefined) await this.#whileHeldBack(room);
        return;
      }
      case "rstStream":
        this.#streams.get(frame.stream)?.reset();
        return;
      case "ping":
        // Ours have even numbers, and their answers tell nothing.
        if (frame.id % 2 === 1) this.#write(controlFrame(TYPE.ping, [frame.id]), () => {});
        return;
      case "goAway":
      case "other":
        return;
    }
  }

  #open(id: number, headers: StreamHeaders, fin: boolean): void {
    if (id % 2 === 0) throw new SpdyError(`a client can't open stream ${id}`);
    if (this.#streams.has(id)) throw new SpdyError(`stream ${id} is open already`);
    const refuse = (): void => this.#write(controlFrame(TYPE.rstStream, [id, RESET.refused]), () => {});
    if (this.#streams.size >= MAX_STREAMS) {
      refuse();
      return;
    }
    const stream = new SpdyStream(
      id,
      headers,
      (frame, done) => this.#write(frame, done),
      (reset) => {
        if (this.#streams.get(id) !== stream) return;
        this.#streams.delete(id);
        if (reset) this.#write(controlFrame(TYPE.rstStream, [id, RESET.cancel]), () => {});
      },
    );
    this.#streams.set(id, stream);
    if (!this.#onStream(stream)) {
      this.#streams.delete(id);
      stream.destroy();
      refuse();
      return;
    }
    this.#write(controlFrame(TYPE.synReply, [id], this.#replies.next()), () => {});
    if (fin) stream.receive(Buffer.alloc(0), true);
  }

  async #whileHeldBack(room: Promise<void>): Promise<void> {
    const timer = setInterval(() => {
      this.#pings += 2;
      this.#write(controlFrame(TYPE.ping, [this.#pings]), () => {});
    }, PING_MS);
    const gone = Promise.withResolvers<void>();
    const onClose = (): void => gone.resolve();
    this.#transport.once("close", onClose);
    if (this.#transport.destroyed) onClose();
    await Promise.race([room, gone.promise]);
    this.#transport.off("close", onClose);
    clearInterval(timer);
  }

  #write(frame: Buffer, done: (error?: Error | null) => void): void {
    // What is written after the end goes nowhere; its reader has gone.
    if (this.#transport.destroyed || this.#transport.writableEnded) done();
    else this.#transport.write(frame, (error) => done(error ?? null));
  }
}
