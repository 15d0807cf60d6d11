import { constants, createInflate, type Inflate } from "node:zlib";
import { DICTIONARY_ADLER32, dictionary } from "./dictionary.ts";
import { SpdyError } from "./frames.ts";

/** A stream is opened with a handful of headers. Bytes. */
const MAX_HEADER_BYTES = 64 * 1024;

/** Reads the header blocks of one connection, which are one compressed stream: each needs all before it. */
export class HeaderReader {
  readonly #inflate: Inflate = createInflate({
    dictionary: dictionary(),
    flush: constants.Z_SYNC_FLUSH,
    finishFlush: constants.Z_SYNC_FLUSH,
  });
  #chunks: Buffer[] = [];
  #bytes = 0;
  #fail: (error: Error) => void = () => {};

  constructor() {
    this.#inflate.on("data", (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes > MAX_HEADER_BYTES) this.#inflate.destroy();
    });
    this.#inflate.on("error", (error) => {
      this.#fail(new SpdyError(`headers can't be read: ${error.message}`));
    });
  }

  /** To be called with one block after the other. @returns values by lower-case names @throws SpdyError */
  async read(block: Buffer): Promise<ReadonlyMap<string, string>> {
    this.#chunks = [];
    this.#bytes = 0;
    await new Promise<void>((resolve, reject) => {
      this.#fail = reject;
      this.#inflate.once("close", resolve);
      this.#inflate.write(block, () => resolve());
    });
    if (this.#bytes > MAX_HEADER_BYTES || this.#inflate.destroyed) throw new SpdyError("headers are too large");
    return parseBlock(Buffer.concat(this.#chunks));
  }

  close(): void {
    this.#inflate.destroy();
  }
}

/** u32 count; of each: u32 length, name, u32 length, value; several values have a NUL between (2.6.10). */
function parseBlock(block: Buffer): ReadonlyMap<string, string> {
  let at = 0;
  const number = (): number => {
    if (at + 4 > block.length) throw new SpdyError("headers are cut off");
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = (): string => {
    const length = number();
    if (length > block.length - at) throw new SpdyError("headers are cut off");
    at += length;
    return block.toString("utf8", at - length, at);
  };
  const headers = new Map<string, string>();
  for (let left = number(); left > 0; left -= 1) headers.set(text().toLowerCase(), text());
  return headers;
}

/**
 * Empty header blocks, the only ones that are sent: there is nothing to compress. They are stored (RFC 1951, 3.2.4),
 * the first behind the head of a zlib stream that names the dictionary (RFC 1950, 2.2).
 */
export class EmptyHeaders {
  #first = true;

  next(): Buffer {
    // An empty block behind it, as of a sync flush: readers in Go hand out what they have only then.
    const stored = Buffer.from([0x00, 0x04, 0x00, 0xfb, 0xff, 0, 0, 0, 0, 0x00, 0x00, 0x00, 0xff, 0xff]);
    if (!this.#first) return stored;
    this.#first = false;
    const head = Buffer.from([0x78, 0x20, 0, 0, 0, 0]);
    head.writeUInt32BE(DICTIONARY_ADLER32, 2);
    return Buffer.concat([head, stored]);
  }
}
