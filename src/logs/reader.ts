import { Changes } from "./changes.ts";
import { type CriLine, parseCriLine, timeOf } from "./cri.ts";
import { type LogFile, type LogSource, logFiles, openSource } from "./files.ts";
import { LineJoiner, type LogSink } from "./joiner.ts";
import { findTail, MAX_LINE_BYTES } from "./tail.ts";

export interface ReadLogOptions {
  /** The live file; the rotated ones beside it are read first. */
  readonly path: string;
  /** Wait for more, across rotations, until `running` is false and everything is read. */
  readonly follow?: boolean;
  /** Only the last lines, of what is there when reading begins. */
  readonly tail?: number;
  /** Only lines of this time or later; ms since the epoch. */
  readonly sinceMs?: number;
  /** Only what was written there. */
  readonly stream?: "stdout" | "stderr";
  /** Put the time before each line. */
  readonly timestamps?: boolean;
  /** False once the writer has ended; asked again and again while following. Default: it has ended. */
  running?(): boolean;
  /** Ends it, without an error. */
  readonly signal?: AbortSignal;
  /** Called once it is settled where reading begins: whatever is written from now on will be read. */
  onBegin?(): void;
}

const CHUNK_BYTES = 64 * 1024;
const NEWLINE = 0x0a;

/**
 * The app's output out of its CRI log files: whole lines, several to a Buffer. No line is missed or doubled when the
 * file is rotated meanwhile, as long as its rotated self is still there. A log that does not exist is empty.
 * @throws system errors of the file system other than ENOENT
 */
export function readLog(options: ReadLogOptions): AsyncGenerator<Buffer, void, undefined> {
  return readLogInto(options, new LineJoiner(options.timestamps ?? false));
}

/** As `readLog`, but what becomes of the lines is up to `sink`. */
export async function* readLogInto<T>(options: ReadLogOptions, sink: LogSink<T>): AsyncGenerator<T, void, undefined> {
  const { path, follow = false, signal } = options;
  const running = (): boolean => options.running?.() ?? false;
  const startedMs = Date.now();
  const changes = new Changes(path, signal);
  const lines = new LineReader(options, sink);
  let at = await begin(options);
  options.onBegin?.();
  try {
    while (!signal?.aborted) {
      const alive = running();
      if (at === undefined) {
        if (!follow || !alive) {
          // It may have come and ended between the last look and the question.
          at = alive ? undefined : await begin({ path });
          if (at === undefined) return;
          continue;
        }
        await changes.wait();
        at = await begin({ path });
        continue;
      }
      for await (const out of readToEnd(at, lines, signal)) {
        yield out;
        // A fast writer must not keep a reader for ever that only wants what is there.
        if (!follow && lines.lastTimeMs > startedMs) return;
      }
      const next = await nextAfter(at.source, path);
      if (next !== undefined && (!follow || !alive || (await next.size()) > 0)) {
        // The writer changed files before it wrote to the next one: what it wrote till then is there now.
        yield* readToEnd(at, lines, signal);
        yield* lines.endOfFile();
        await at.source.close();
        at = { source: next, position: 0 };
        continue;
      }
      // A micro-VM's next file is there before its agent turns to it.
      await next?.close();
      yield* lines.flush();
      if (!follow || !alive) {
        yield* lines.end();
        return;
      }
      await changes.wait();
    }
  } finally {
    changes.close();
    await at?.source.close();
  }
}

interface Place {
  readonly source: LogSource;
  position: number;
}

/** Where reading begins: at the oldest file, or as far back as `tail` and `sinceMs` need. */
async function begin(options: Pick<ReadLogOptions, "path" | "tail" | "sinceMs">): Promise<Place | undefined> {
  const { path, tail, sinceMs } = options;
  const all = await logFiles(path);
  // A file last written before that time has nothing to show; the live one is kept to have a place to follow from.
  const files = all.filter((file) => sinceMs === undefined || file.live || file.modifiedMs >= sinceMs);
  if (tail === undefined) return firstOf(files);
  let wanted = tail;
  let newer: Place | undefined;
  for (const file of files.reverse()) {
    const source = await openSource(file);
    // Rotated or pruned just now: look again at all of it.
    if (source === undefined) {
      await newer?.source.close();
      return begin(options);
    }
    const found = await findTail(source, wanted);
    await newer?.source.close();
    newer = { source, position: "offset" in found ? found.offset : 0 };
    if ("offset" in found) return newer;
    wanted = found.missing;
  }
  return newer;
}

async function firstOf(files: readonly LogFile[]): Promise<Place | undefined> {
  for (const file of files) {
    const source = await openSource(file);
    if (source !== undefined) return { source, position: 0 };
  }
  return undefined;
}

/**
 * The file that follows `source` in time, if there is one. Ours is known by its inode, which can't be given to another
 * file while it is open here. Rotated away and pruned, it is followed by the oldest there is.
 */
async function nextAfter(source: LogSource, path: string): Promise<LogSource | undefined> {
  const files = await logFiles(path);
  const index = files.findIndex((file) => file.inode === source.inode);
  // Between two names while we looked: look again later.
  if (index < 0 && (await source.exists())) return undefined;
  const place = await firstOf(files.slice(index + 1));
  return place?.source;
}

async function* readToEnd<T>(
  at: Place,
  lines: LineReader<T>,
  signal?: AbortSignal,
): AsyncGenerator<T, void, undefined> {
  const buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  while (!signal?.aborted) {
    // Somebody emptied the file in place: what is in it now is new.
    if (at.position > 0 && (await at.source.size()) < at.position) at.position = 0;
    const bytes = await at.source.read(buffer, at.position);
    if (bytes === 0) return;
    at.position += bytes;
    yield* lines.add(buffer.subarray(0, bytes));
  }
}

/** Cuts what is read into lines, and chooses those that are wanted. */
class LineReader<T> {
  readonly #joiner: LogSink<T>;
  readonly #stream: "stdout" | "stderr" | undefined;
  #sinceMs: number | undefined;
  #rest: Buffer = Buffer.alloc(0);
  #last: CriLine | undefined;

  constructor({ sinceMs, stream }: ReadLogOptions, sink: LogSink<T>) {
    this.#stream = stream;
    this.#joiner = sink;
    this.#sinceMs = sinceMs;
  }

  /** When the newest line that was read was written; ms. */
  get lastTimeMs(): number {
    return this.#last === undefined ? 0 : timeOf(this.#last);
  }

  /** @param chunk may be written over afterwards */
  *add(chunk: Buffer): Generator<T, void, undefined> {
    const data = Buffer.concat([this.#rest, chunk]);
    let start = 0;
    for (let end = data.indexOf(NEWLINE); end >= 0; end = data.indexOf(NEWLINE, start)) {
      this.#addLine(data.subarray(start, end));
      start = end + 1;
    }
    this.#rest = data.subarray(start);
    if (this.#rest.length > MAX_LINE_BYTES) this.#addRest();
    yield* this.#take();
  }

  /** Shows unfinished lines of the app. */
  *flush(): Generator<T, void, undefined> {
    this.#joiner.flush();
    yield* this.#take();
  }

  /** A line of the file that was cut off (a crash) ends with the file. */
  *endOfFile(): Generator<T, void, undefined> {
    if (this.#rest.length > 0) this.#addRest();
    yield* this.#take();
  }

  *end(): Generator<T, void, undefined> {
    yield* this.endOfFile();
    yield* this.flush();
  }

  #addRest(): void {
    const rest = this.#rest;
    this.#rest = Buffer.alloc(0);
    this.#addLine(rest);
  }

  #addLine(raw: Buffer): void {
    const line = parseCriLine(raw);
    if (line !== undefined) {
      this.#last = line;
      // Times only grow: once a line is new enough, so are all that follow.
      if (this.#sinceMs !== undefined && timeOf(line) >= this.#sinceMs) this.#sinceMs = undefined;
    }
    if (this.#sinceMs !== undefined || raw.length === 0) return;
    if (line !== undefined && this.#stream !== undefined && line.stream !== this.#stream) return;
    if (line === undefined) this.#joiner.addForeign(raw);
    else this.#joiner.add(line);
  }

  *#take(): Generator<T, void, undefined> {
    const out = this.#joiner.take();
    if (out !== undefined) yield out;
  }
}
