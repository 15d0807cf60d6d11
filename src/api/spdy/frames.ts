/** Frames of SPDY/3.1 (SPDY Protocol Draft 3.1, 2.2 and 2.6): what is read, and what is written. Pure. */

const VERSION = 3;
const HEADER_BYTES = 8;
/** Clients send pieces of 32 KiB; a frame is held whole. Bytes. */
const MAX_FRAME_BYTES = 1024 * 1024;
export const FLAG_FIN = 1;

export const TYPE = {
  synStream: 1,
  synReply: 2,
  rstStream: 3,
  settings: 4,
  ping: 6,
  goAway: 7,
  headers: 8,
  windowUpdate: 9,
} as const;

/** Why a stream is reset (2.6.3). */
export const RESET = { protocolError: 1, invalidStream: 2, refused: 3, cancel: 5, internalError: 6 } as const;

export type Frame =
  | { readonly type: "data"; readonly stream: number; readonly fin: boolean; readonly payload: Buffer }
  /** `block`: the headers, compressed. */
  | { readonly type: "synStream"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "synReply"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "headers"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "rstStream"; readonly stream: number; readonly status: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway" }
  /** Settings, windows, and what a later version may have: nothing here depends on them. */
  | { readonly type: "other" };

/** The other end sends what is no SPDY/3.1. */
export class SpdyError extends Error {}

/** Cuts bytes into frames, whatever pieces they come in. */
export class FrameReader {
  #chunks: Buffer[] = [];
  #bytes = 0;

  /** @throws SpdyError */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
    while (this.#bytes >= HEADER_BYTES) {
      const head = this.#peek(HEADER_BYTES);
      const length = head.readUIntBE(5, 3);
      if (length > MAX_FRAME_BYTES) throw new SpdyError(`a frame of ${length} bytes is too large`);
      if (this.#bytes < HEADER_BYTES + length) return;
      const whole = this.#take(HEADER_BYTES + length);
      yield parse(whole.subarray(0, HEADER_BYTES), whole.subarray(HEADER_BYTES));
    }
  }

  #peek(bytes: number): Buffer {
    const first = this.#chunks[0];
    if (first !== undefined && first.length >= bytes) return first;
    this.#chunks = [Buffer.concat(this.#chunks)];
    return this.#chunks[0] ?? Buffer.alloc(0);
  }

  #take(bytes: number): Buffer {
    const all = this.#peek(bytes);
    const rest = all.subarray(bytes);
    this.#chunks = rest.length === 0 ? this.#chunks.slice(1) : [rest, ...this.#chunks.slice(1)];
    this.#bytes -= bytes;
    return all.subarray(0, bytes);
  }
}

function parse(head: Buffer, payload: Buffer): Frame {
  const first = head.readUInt32BE(0);
  const fin = ((head[4] ?? 0) & FLAG_FIN) !== 0;
  if (first < 0x8000_0000) return { type: "data", stream: first, fin, payload };
  const version = (first >>> 16) & 0x7fff;
  if (version !== VERSION) throw new SpdyError(`version ${version} is not spoken here`);
  const atLeast = (bytes: number): void => {
    if (payload.length < bytes) throw new SpdyError("a frame is too short");
  };
  const id = (): number => {
    atLeast(4);
    return payload.readUInt32BE(0) & 0x7fff_ffff;
  };
  switch (first & 0xffff) {
    case TYPE.synStream:
      atLeast(10);
      return { type: "synStream", stream: id(), fin, block: payload.subarray(10) };
    case TYPE.synReply:
      return { type: "synReply", stream: id(), fin, block: payload.subarray(4) };
    case TYPE.headers:
      return { type: "headers", stream: id(), fin, block: payload.subarray(4) };
    case TYPE.rstStream:
      atLeast(8);
      return { type: "rstStream", stream: id(), status: payload.readUInt32BE(4) };
    case TYPE.ping:
      atLeast(4);
      return { type: "ping", id: payload.readUInt32BE(0) };
    case TYPE.goAway:
      return { type: "goAway" };
    default:
      return { type: "other" };
  }
}

export function dataFrame(stream: number, payload: Uint8Array, fin: boolean): Buffer {
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length);
  frame.writeUInt32BE(stream, 0);
  frame[4] = fin ? FLAG_FIN : 0;
  frame.writeUIntBE(payload.length, 5, 3);
  frame.set(payload, HEADER_BYTES);
  return frame;
}

/** Control frames are words of 32 bits, and bytes for a compressed block. */
export function controlFrame(type: number, words: readonly number[], block: Uint8Array = new Uint8Array()): Buffer {
  const length = words.length * 4 + block.length;
  const frame = Buffer.alloc(HEADER_BYTES + length);
  frame.writeUInt16BE(0x8000 | VERSION, 0);
  frame.writeUInt16BE(type, 2);
  frame.writeUIntBE(length, 5, 3);
  for (const [index, word] of words.entries()) frame.writeUInt32BE(word, HEADER_BYTES + index * 4);
  frame.set(block, HEADER_BYTES + words.length * 4);
  return frame;
}
