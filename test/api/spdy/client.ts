import { type IncomingMessage, request } from "node:http";
import type { Duplex } from "node:stream";
import { constants, createDeflate, createInflate } from "node:zlib";
import { dictionary } from "../../../src/api/spdy/dictionary.ts";
import { controlFrame, dataFrame, type Frame, FrameReader, TYPE } from "../../../src/api/spdy/frames.ts";

/** Header blocks as a client makes them: one compressed stream, with its own zlib. */
export class HeaderWriter {
  readonly #deflate = createDeflate({ dictionary: dictionary(), flush: constants.Z_SYNC_FLUSH });

  async write(headers: Readonly<Record<string, string>>): Promise<Buffer> {
    const parts: Buffer[] = [];
    const number = (value: number): void => {
      const bytes = Buffer.alloc(4);
      bytes.writeUInt32BE(value);
      parts.push(bytes);
    };
    number(Object.keys(headers).length);
    for (const text of Object.entries(headers).flat()) {
      number(Buffer.byteLength(text));
      parts.push(Buffer.from(text));
    }
    await new Promise<void>((resolve) => this.#deflate.write(Buffer.concat(parts), () => resolve()));
    return this.#deflate.read();
  }
}

/** Header blocks read with zlib itself, to tell that what the server makes by hand is right. */
export class PlainInflater {
  readonly #inflate = createInflate({ dictionary: dictionary(), flush: constants.Z_SYNC_FLUSH });

  async read(block: Buffer): Promise<Buffer> {
    await new Promise<void>((resolve, reject) => {
      this.#inflate.once("error", reject);
      this.#inflate.write(block, () => resolve());
    });
    return this.#inflate.read();
  }
}

/** The client's end of SPDY, as little of it as tests need. */
export class SpdyClient {
  readonly frames: Frame[] = [];
  ended = false;
  readonly #socket: Duplex;
  readonly #headers = new HeaderWriter();
  #nextId = 1;

  constructor(socket: Duplex, head: Buffer = Buffer.alloc(0)) {
    this.#socket = socket;
    const reader = new FrameReader();
    const take = (chunk: Buffer): void => void this.frames.push(...reader.push(chunk));
    take(head);
    socket.on("data", take);
    socket.on("error", () => {});
    socket.on("close", () => {
      this.ended = true;
    });
  }

  async open(headers: Readonly<Record<string, string>>, fin = false): Promise<number> {
    const id = this.#nextId;
    this.#nextId += 2;
    const frame = controlFrame(TYPE.synStream, [id, 0, 0], Buffer.alloc(0));
    const block = await this.#headers.write(headers);
    // Priority and slot are 16 bits, after which the block begins.
    const whole = Buffer.concat([frame.subarray(0, 18), block]);
    whole.writeUIntBE(10 + block.length, 5, 3);
    if (fin) whole[4] = 1;
    this.#socket.write(whole);
    return id;
  }

  send(id: number, text: string | Buffer, fin = false): void {
    this.#socket.write(dataFrame(id, Buffer.from(text), fin));
  }
  write(bytes: Buffer): boolean {
    return this.#socket.write(bytes);
  }
  /** What has come on a stream so far. */
  data(id: number): string {
    return Buffer.concat(
      this.frames.flatMap((frame) => (frame.type === "data" && frame.stream === id ? [frame.payload] : [])),
    ).toString("latin1");
  }
  /** The server has ended it. */
  finished(id: number): boolean {
    return this.frames.some((frame) => frame.type === "data" && frame.stream === id && frame.fin);
  }
  pause(): void {
    this.#socket.pause();
  }
  resume(): void {
    this.#socket.resume();
  }
  destroy(): void {
    this.#socket.destroy();
  }
}

export interface Upgraded {
  readonly response: IncomingMessage;
  readonly client: SpdyClient;
}

/** POST with an upgrade to SPDY/3.1, as kubectl sends it. @throws the answer's status and text when it is refused */
export function upgrade(socketPath: string, path: string, protocol: string, method = "POST"): Promise<Upgraded> {
  return new Promise((resolve, reject) => {
    const headers = { connection: "Upgrade", upgrade: "SPDY/3.1", "x-stream-protocol-version": protocol };
    const sent = request({ socketPath, path, method, headers, agent: false });
    sent.on("upgrade", (response, socket, head) => resolve({ response, client: new SpdyClient(socket, head) }));
    sent.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => reject(new Error(`${response.statusCode} ${Buffer.concat(chunks)}`)));
    });
    sent.on("error", reject);
    sent.end();
  });
}
