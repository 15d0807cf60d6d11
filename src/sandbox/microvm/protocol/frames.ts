import { crc32 } from "node:zlib";
import { GantryError } from "../../../system/errors.ts";
import { FRAME_MAGIC, HEADER_BYTES, MAX_PAYLOAD, TRAILER_BYTES } from "./messages.ts";

/** One frame, as guest/protocol.h describes it. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly payload: Buffer;
}

const MAGIC = Buffer.alloc(4);
MAGIC.writeUInt32LE(FRAME_MAGIC);

/** @throws GantryError internal when the payload is larger than MAX_PAYLOAD */
export function encodeFrame(type: number, id: number, payload: Uint8Array, flags = 0): Buffer {
  if (payload.length > MAX_PAYLOAD) {
    throw new GantryError("internal", `a frame of ${payload.length} bytes is too large`, { kind: "system" });
  }
  const frame = Buffer.allocUnsafe(HEADER_BYTES + payload.length + TRAILER_BYTES);
  frame.writeUInt32LE(FRAME_MAGIC, 0);
  frame.writeUInt32LE(payload.length, 4);
  frame.writeUInt16LE(type, 8);
  frame.writeUInt16LE(flags, 10);
  frame.writeUInt32LE(id, 12);
  frame.set(payload, HEADER_BYTES);
  frame.writeUInt32LE(crc32(frame.subarray(0, HEADER_BYTES + payload.length)), HEADER_BYTES + payload.length);
  return frame;
}

/** Ends whatever half frame the agent holds from an earlier connection; HELLO must follow. */
export function resyncFill(): Buffer {
  return Buffer.alloc(HEADER_BYTES + MAX_PAYLOAD + TRAILER_BYTES, 0xff);
}

/**
 * Cuts a stream into frames. Holds at most one frame's bytes, whatever the peer sends.
 *
 * Until `accept` is called it is out of step: rubbish between frames is skipped, as the end of a half frame from an
 * earlier connection is. Afterwards rubbish is an error.
 */
export class FrameReader {
  #rest: Buffer = Buffer.alloc(0);
  #strict = false;

  /** From now on anything that is not a frame is the peer's fault. */
  accept(): void {
    this.#strict = true;
  }

  /**
   * @returns the frames that are complete now; lazily, so that `accept` may be called between two of them
   * @throws GantryError runtime-failed for a malformed frame after `accept`; the channel is of no use then
   */
  *push(chunk: Buffer): Generator<Frame, void, undefined> {
    this.#rest = this.#rest.length === 0 ? chunk : Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const next = this.#next();
      if (next === undefined) break;
      yield next;
    }
    // Do not keep a large chunk alive for the few bytes at its end.
    if (this.#rest.length > 0 && this.#rest.buffer.byteLength > 4 * this.#rest.length)
      this.#rest = Buffer.from(this.#rest);
  }

  #next(): Frame | undefined {
    for (;;) {
      const bytes = this.#rest;
      if (bytes.length < HEADER_BYTES) return undefined;
      const length = bytes.readUInt32LE(4);
      if (bytes.readUInt32LE(0) !== FRAME_MAGIC || length > MAX_PAYLOAD) {
        this.#skip(`magic ${bytes.toString("hex", 0, 4)}, length ${length}`);
        continue;
      }
      const end = HEADER_BYTES + length;
      if (bytes.length < end + TRAILER_BYTES) return undefined;
      if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) {
        this.#skip("wrong checksum");
        continue;
      }
      this.#rest = bytes.subarray(end + TRAILER_BYTES);
      return {
        type: bytes.readUInt16LE(8),
        flags: bytes.readUInt16LE(10),
        id: bytes.readUInt32LE(12),
        payload: bytes.subarray(HEADER_BYTES, end),
      };
    }
  }

  #skip(what: string): void {
    if (this.#strict) {
      throw new GantryError("runtime-failed", `the agent sent what is not a frame (${what})`, { kind: "system" });
    }
    const next = this.#rest.indexOf(MAGIC, 1);
    // The magic itself may be cut in two.
    this.#rest = this.#rest.subarray(next < 0 ? Math.max(1, this.#rest.length - MAGIC.length + 1) : next);
  }
}
