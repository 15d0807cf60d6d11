import type { CriLine } from "./cri.ts";

type Stream = CriLine["stream"];

interface Held {
  readonly time: string;
  readonly parts: Buffer[];
  bytes: number;
}

/** An app that never ends its line is not held in memory for ever. Bytes. */
const MAX_HELD_BYTES = 1024 * 1024;
/** Nor one that ends no line and writes nothing. Writers cut lines into pieces of some KiB, so that honest ones have few. */
const MAX_HELD_PARTS = 1024;
const NEWLINE = Buffer.from("\n");

/**
 * Makes the app's lines again out of CRI lines: partial ones are joined per stream, so that a line of stderr does not
 * fall into the middle of one of stdout. Pure, apart from what it remembers.
 */
export class LineJoiner {
  readonly #timestamps: boolean;
  readonly #held = new Map<Stream, Held>();
  #out: Buffer[] = [];
  /** The stream whose unfinished line stands at the end of the output. */
  #open: Stream | undefined;

  constructor(timestamps: boolean) {
    this.#timestamps = timestamps;
  }

  add(line: CriLine): void {
    const held = this.#held.get(line.stream);
    if (line.partial) {
      const now = held ?? { time: line.time, parts: [], bytes: 0 };
      now.parts.push(line.text);
      now.bytes += line.text.length;
      this.#held.set(line.stream, now);
      if (now.bytes > MAX_HELD_BYTES || now.parts.length > MAX_HELD_PARTS) this.#flush(line.stream, now);
      return;
    }
    this.#held.delete(line.stream);
    this.#write(line.stream, held?.time ?? line.time, [...(held?.parts ?? []), line.text], true);
  }

  /** A line in another format is shown as it is; nothing is joined over it. */
  addForeign(text: Buffer): void {
    this.flush();
    if (this.#open !== undefined) this.#out.push(NEWLINE);
    this.#open = undefined;
    this.#out.push(text, NEWLINE);
  }

  /** Shows unfinished lines too: nothing more is there for now (a prompt waits for its answer). */
  flush(): void {
    for (const [stream, held] of this.#held) this.#flush(stream, held);
  }

  /** What has become ready since the last call; empty when nothing has. */
  take(): Buffer {
    const out = Buffer.concat(this.#out);
    this.#out = [];
    return out;
  }

  #flush(stream: Stream, held: Held): void {
    this.#held.delete(stream);
    this.#write(stream, held.time, held.parts, false);
  }

  #write(stream: Stream, time: string, parts: readonly Buffer[], complete: boolean): void {
    const goesOn = this.#open === stream;
    if (this.#open !== undefined && !goesOn) this.#out.push(NEWLINE);
    if (this.#timestamps && !goesOn) this.#out.push(Buffer.from(`${time} `));
    this.#out.push(...parts);
    if (complete) this.#out.push(NEWLINE);
    this.#open = complete ? undefined : stream;
  }
}
