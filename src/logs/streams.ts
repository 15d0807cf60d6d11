import type { CriLine } from "./cri.ts";
import type { LogSink } from "./joiner.ts";
import { type ReadLogOptions, readLogInto } from "./reader.ts";

export interface LogPiece {
  readonly stream: CriLine["stream"];
  readonly data: Buffer;
}

const NEWLINE = Buffer.from("\n");

/** Gives back what the app wrote, byte for byte and per stream, as far as a log in CRI format tells. */
class StreamSink implements LogSink<readonly LogPiece[]> {
  #pieces: LogPiece[] = [];

  add({ stream, partial, text }: CriLine): void {
    this.#pieces.push({ stream, data: partial ? Buffer.from(text) : Buffer.concat([text, NEWLINE]) });
  }

  addForeign(text: Buffer): void {
    this.#pieces.push({ stream: "stdout", data: Buffer.concat([text, NEWLINE]) });
  }

  flush(): void {}

  take(): readonly LogPiece[] | undefined {
    if (this.#pieces.length === 0) return undefined;
    const pieces = this.#pieces;
    this.#pieces = [];
    return pieces;
  }
}

/** What a container printed, as it printed it; see `readLog` for the options. */
export function readStreams(
  options: Omit<ReadLogOptions, "timestamps">,
): AsyncGenerator<readonly LogPiece[], void, undefined> {
  return readLogInto(options, new StreamSink());
}
