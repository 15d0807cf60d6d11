import type { Readable } from "node:stream";
import type { WebSocket } from "ws";
import type { ExecSession } from "../../sandbox/driver.ts";
import { toGantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { CHANNEL, channelMessage } from "../channels.ts";
import { statusOfError, statusOfExit } from "../status-error.ts";
import type { StatusObject } from "../wire.ts";
import { ExecInput } from "./exec-input.ts";

/** More unsent output than this, and the command is made to wait. Bytes. */
const MAX_UNSENT_BYTES = 1024 * 1024;
/** A client that does not answer the closing handshake is cut off after this. ms */
const CLOSE_TIMEOUT_MS = 5000;

export interface ChannelOptions {
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/**
 * Runs a command for a WebSocket of the subprotocol v4.channel.k8s.io or v5.channel.k8s.io: the first byte of each
 * message is its channel (0 stdin, 1 stdout, 2 stderr, 3 the final Status, 4 resize; v5: 255 closes one).
 * Resolves when both have ended. A client that leaves takes the command with it.
 * @param start starts the command; gets the signal that the client has left
 */
export async function serveExec(
  socket: WebSocket,
  start: (signal: AbortSignal) => Promise<ExecSession>,
  options: ChannelOptions,
  log: Logger,
): Promise<void> {
  const gone = new AbortController();
  const closed = new Promise<void>((resolve) => {
    socket.on("close", () => {
      gone.abort();
      resolve();
    });
  });
  socket.on("error", (err) => log.debug({ err }, "exec: the connection failed"));
  const input = new ExecInput(socket, log);
  await sendStatus(socket, await run(socket, input, start, options, gone.signal));
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
  await closed;
  clearTimeout(timer);
}

async function run(
  socket: WebSocket,
  input: ExecInput,
  start: (signal: AbortSignal) => Promise<ExecSession>,
  options: ChannelOptions,
  gone: AbortSignal,
): Promise<StatusObject> {
  try {
    const session = await start(gone);
    const kill = (): void => session.kill();
    if (gone.aborted) kill();
    else gone.addEventListener("abort", kill);
    // An empty message on the first output channel says that the command runs, as the kubelet does.
    const first = options.stdout ? CHANNEL.stdout : options.stderr ? CHANNEL.stderr : CHANNEL.error;
    socket.send(channelMessage(first, Buffer.alloc(0)), () => {});
    input.handTo(session);
    const outputs = [sendOutput(socket, CHANNEL.stdout, session.stdout, options.stdout)];
    if (session.stderr !== undefined) outputs.push(sendOutput(socket, CHANNEL.stderr, session.stderr, options.stderr));
    const [exitCode] = await Promise.all([session.exitCode, ...outputs]);
    gone.removeEventListener("abort", kill);
    return statusOfExit(exitCode);
  } catch (error) {
    return statusOfError(toGantryError(error, "runtime-failed", "the command failed"));
  }
}

/** Sends the Status that ends a session, and closes. */
function sendStatus(socket: WebSocket, status: StatusObject): Promise<void> {
  return new Promise((resolve) => {
    if (socket.readyState !== socket.OPEN) return resolve();
    socket.send(channelMessage(CHANNEL.error, Buffer.from(JSON.stringify(status))), () => {
      socket.close(1000);
      resolve();
    });
  });
}

/** Reads `output` to its end, at the speed at which the client takes it. */
async function sendOutput(socket: WebSocket, channel: number, output: Readable, wanted: boolean): Promise<void> {
  for await (const chunk of output as AsyncIterable<Buffer | string>) {
    if (!wanted || socket.readyState !== socket.OPEN) continue;
    const data = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
    const sent = new Promise<void>((resolve) => {
      socket.send(channelMessage(channel, data), () => resolve());
    });
    if (socket.bufferedAmount > MAX_UNSENT_BYTES) await sent;
  }
}
