import { PassThrough, type Readable, Writable } from "node:stream";
import type { RawData, WebSocket } from "ws";
import type { ExecSession } from "../../sandbox/driver.ts";
import type { GantryError } from "../../system/errors.ts";
import { CHANNEL, channelMessage, PROTOCOLS } from "../channels.ts";
import { errorOfStatus, exitCodeOfStatus } from "../status-error.ts";
import type { Endpoint } from "./endpoint.ts";
import { asBuffer, cancelled, openSocket } from "./socket.ts";
import { unreachable } from "./unreachable.ts";

export interface ExecMode {
  readonly tty: boolean;
  readonly stdin: boolean;
}

/** The server takes messages of a limited size. Bytes. */
const MAX_PIECE_BYTES = 64 * 1024;

/**
 * Opens an exec session over a WebSocket. The command is killed when the connection ends, so also on abort.
 * @throws the daemon's own error when it refuses; daemon-unreachable, cancelled
 */
export async function openExec(
  endpoint: Endpoint,
  path: string,
  mode: ExecMode,
  signal: AbortSignal | undefined,
): Promise<ExecSession> {
  const { socket, opened } = await openSocket(endpoint, path, PROTOCOLS, signal);
  // The first messages may come together with the answer to the upgrade: listen before anything is awaited.
  const session = sessionOf(socket, mode, endpoint, signal);
  await opened;
  await Promise.race([session.started, session.exitCode]);
  return session;
}

function sessionOf(
  socket: WebSocket,
  { tty, stdin }: ExecMode,
  endpoint: Endpoint,
  signal: AbortSignal | undefined,
): ExecSession & { readonly started: Promise<void> } {
  const stdout = new PassThrough();
  const stderr = tty ? undefined : new PassThrough();
  let status: Buffer | undefined;
  const write = (stream: PassThrough | undefined, payload: Buffer): void => {
    if (payload.length === 0 || stream === undefined || stream.destroyed) return;
    if (stream.write(payload)) return;
    // The reader is slower than the command: let the command wait.
    socket.pause();
    const goOn = (): void => {
      stream.off("drain", goOn);
      stream.off("close", goOn);
      socket.resume();
    };
    stream.on("drain", goOn);
    stream.on("close", goOn);
  };
  let begin: () => void = () => {};
  const started = new Promise<void>((resolve) => {
    begin = resolve;
  });
  socket.on("message", (data: RawData) => {
    const message = asBuffer(data);
    // The first message says that the command runs, unless it is the Status that says why it doesn't.
    if (message[0] !== CHANNEL.error) begin();
    const payload = message.subarray(1);
    if (message[0] === CHANNEL.stdout) write(stdout, payload);
    else if (message[0] === CHANNEL.stderr) write(stderr, payload);
    else if (message[0] === CHANNEL.error && payload.length > 0) status = payload;
  });
  const exitCode = new Promise<number>((resolve, reject) => {
    socket.once("close", () => {
      stdout.end();
      stderr?.end();
      if (status !== undefined) return settle(status, resolve, reject);
      reject(signal?.aborted ? cancelled() : unreachable(endpoint, Object.assign(new Error(), { code: "ECONNRESET" })));
    });
  });
  // Whoever asks later still learns of it; until then it must not end the process.
  exitCode.catch(() => {});
  return {
    ...(stdin && { stdin: inputOf(socket) }),
    stdout: stdout as Readable,
    ...(stderr !== undefined && { stderr }),
    resize: (columns, rows) => {
      if (!tty || socket.readyState !== socket.OPEN) return;
      socket.send(channelMessage(CHANNEL.resize, Buffer.from(JSON.stringify({ Width: columns, Height: rows }))));
    },
    started,
    exitCode,
    kill: () => socket.terminate(),
  };
}

/** Each write waits until it is sent, so that a fast source is held back. */
function inputOf(socket: WebSocket): Writable {
  return new Writable({
    write: (chunk: Buffer, _encoding, done) => {
      // The command has ended: what is still typed goes nowhere, as in a pipe whose reader has gone.
      if (socket.readyState !== socket.OPEN || chunk.length === 0) return done();
      for (let start = 0; start < chunk.length; start += MAX_PIECE_BYTES) {
        const last = start + MAX_PIECE_BYTES >= chunk.length;
        const piece = channelMessage(CHANNEL.stdin, chunk.subarray(start, start + MAX_PIECE_BYTES));
        socket.send(piece, () => last && done());
      }
    },
    final: (done) => {
      if (socket.readyState === socket.OPEN && socket.protocol === "v5.channel.k8s.io") {
        socket.send(Buffer.from([CHANNEL.close, CHANNEL.stdin]), () => done());
      } else done();
    },
  });
}

/** The exit code that the final Status tells of. */
function settle(text: Buffer, resolve: (code: number) => void, reject: (error: GantryError) => void): void {
  const code = exitCodeOfStatus(text.toString("utf8"));
  if (code !== undefined) resolve(code);
  else reject(errorOfStatus(text.toString("utf8"), 0));
}
