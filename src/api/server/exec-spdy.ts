import type { Duplex, Readable } from "node:stream";
import type { ExecSession } from "../../sandbox/driver.ts";
import { GantryError, toGantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { parseSize } from "../channels.ts";
import { SpdyConnection, type SpdyStream } from "../spdy/connection.ts";
import { statusOfError, statusOfExit } from "../status-error.ts";
import type { StatusObject } from "../wire.ts";
import type { ExecStreams } from "./session-request.ts";

/** How long a client may take to open its streams. ms */
const STREAMS_TIMEOUT_MS = 30_000;
/** A client that does not hang up at the end is cut off after this. ms */
const CLOSE_TIMEOUT_MS = 5000;
/** {"Width":65535,"Height":65535} is short. Bytes. */
const MAX_SIZE_BYTES = 1024;

type StreamType = "error" | "stdin" | "stdout" | "stderr" | "resize";
type Streams = ReadonlyMap<StreamType, SpdyStream>;

/**
 * Runs a command for a client that speaks SPDY and v4.channel.k8s.io: a stream for each of stdin, stdout, stderr, the
 * sizes of a terminal, and the Status at the end. Resolves when both have ended. A client that leaves takes the command
 * with it.
 * @param start starts the command; gets the signal that the client has left
 */
export async function serveExecOnSpdy(
  socket: Duplex,
  start: (signal: AbortSignal) => Promise<ExecSession>,
  wanted: ExecStreams,
  log: Logger,
): Promise<void> {
  const gone = new AbortController();
  const { streams, connection } = collect(socket, wanted);
  void connection.closed.then((why) => {
    if (why !== undefined) log.debug({ why }, "exec: the connection failed");
    gone.abort();
  });
  try {
    const ours = await streams;
    const status = await run(ours, start, gone.signal, log);
    await write(ours.get("error"), Buffer.from(JSON.stringify(status)));
    ours.get("error")?.end();
  } catch (error) {
    log.debug({ err: error }, "exec: the session did not begin");
  }
  await connection.end(CLOSE_TIMEOUT_MS);
}

/** The streams, once the client has opened all that the request announces. */
function collect(
  socket: Duplex,
  { stdin, stdout, stderr, tty }: ExecStreams,
): { readonly connection: SpdyConnection; readonly streams: Promise<Streams> } {
  const expected = new Set<string>(["error"]);
  for (const [name, is] of Object.entries({ stdin, stdout, stderr, resize: tty })) if (is) expected.add(name);
  const found = new Map<StreamType, SpdyStream>();
  const { promise, resolve, reject } = Promise.withResolvers<Streams>();
  const timer = setTimeout(
    () => reject(new GantryError("timeout", "the client did not open its streams in time", { kind: "system" })),
    STREAMS_TIMEOUT_MS,
  );
  const connection = new SpdyConnection(socket, (stream) => {
    const type = stream.headers.get("streamtype") ?? "";
    if (!expected.delete(type)) return false;
    found.set(type as StreamType, stream);
    // What comes back on a stream that only leads out is nothing; its end has to be read.
    if (type !== "stdin" && type !== "resize") stream.resume();
    if (expected.size === 0) resolve(found);
    return true;
  });
  void connection.closed.then(() => reject(new GantryError("cancelled", "the client went away", { kind: "system" })));
  const streams = promise.finally(() => clearTimeout(timer));
  streams.catch(() => {});
  return { connection, streams };
}

async function run(
  streams: Streams,
  start: (signal: AbortSignal) => Promise<ExecSession>,
  gone: AbortSignal,
  log: Logger,
): Promise<StatusObject> {
  try {
    const session = await start(gone);
    const kill = (): void => session.kill();
    if (gone.aborted) kill();
    else gone.addEventListener("abort", kill);
    feed(streams.get("stdin"), session, log);
    readSizes(streams.get("resize"), session, log);
    const outputs = [copy(session.stdout, streams.get("stdout"))];
    if (session.stderr !== undefined) outputs.push(copy(session.stderr, streams.get("stderr")));
    const [exitCode] = await Promise.all([session.exitCode, ...outputs]);
    gone.removeEventListener("abort", kill);
    return statusOfExit(exitCode);
  } catch (error) {
    return statusOfError(toGantryError(error, "runtime-failed", "the command failed"));
  } finally {
    for (const name of ["stdout", "stderr"] as const) streams.get(name)?.end();
  }
}

/** A command that does not read to the end is no error; what is left goes nowhere. */
function feed(from: SpdyStream | undefined, session: ExecSession, log: Logger): void {
  const { stdin } = session;
  if (from === undefined) return;
  if (stdin === undefined) {
    from.resume();
    return;
  }
  const stop = (): void => {
    from.unpipe(stdin);
    from.resume();
  };
  stdin.on("error", (err) => {
    log.debug({ err }, "exec: stdin was closed early");
    stop();
  });
  stdin.on("close", stop);
  from.pipe(stdin);
}

/** One JSON object after the other; kubectl ends each with a line feed. */
function readSizes(from: SpdyStream | undefined, session: ExecSession, log: Logger): void {
  let text = "";
  from?.on("data", (chunk: Buffer) => {
    text += chunk.toString("utf8");
    for (let end = text.indexOf("}"); end >= 0; end = text.indexOf("}")) {
      const size = parseSize(text.slice(0, end + 1));
      if (size === undefined) log.debug({ text: text.slice(0, 100) }, "exec: this is not the size of a terminal");
      else session.resize(size.columns, size.rows);
      text = text.slice(end + 1);
    }
    if (text.length > MAX_SIZE_BYTES) text = "";
  });
}

/** Reads `output` to its end, at the speed at which the client takes it, and ends `to`. */
async function copy(output: Readable, to: SpdyStream | undefined): Promise<void> {
  for await (const chunk of output as AsyncIterable<Buffer | string>) {
    await write(to, typeof chunk === "string" ? Buffer.from(chunk) : chunk);
  }
  to?.end();
}

/** Resolves when it is sent, or can't be. */
async function write(to: SpdyStream | undefined, data: Buffer): Promise<void> {
  if (to === undefined || !to.writable) return;
  await new Promise<void>((resolve) => {
    to.write(data, () => resolve());
  });
}
