import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { Duplex } from "node:stream";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { nothingListens } from "../port-errors.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { findBinary } from "./runtime.ts";
import { readySandbox } from "./sandbox.ts";

/** Both are one to an app that listens on every address. */
const LOOPBACK = [
  { host: "127.0.0.1", socat: (port: number) => `TCP4:127.0.0.1:${port}` },
  { host: "::1", socat: (port: number) => `TCP6:[::1]:${port}` },
] as const;
/** When one direction has ended the other may go on for as long as it likes; seconds. */
const NO_HURRY = String(365 * 24 * 3600);
const PIECE_BYTES = 65_536;
/** What socat says of itself is short; of what it says later nothing is kept. Bytes. */
const MAX_SAID_BYTES = 8192;

/**
 * See SandboxDriver.forwardPort. Only a process in the pod's network namespace can reach its loopback address, and
 * Node.js can't enter one: socat does, one for each connection.
 */
export async function connectInSandbox(ctx: Context, id: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const { config } = await readySandbox(ctx, id);
  let failure: unknown;
  for (const address of LOOPBACK) {
    if (signal.aborted) throw cancelled();
    try {
      if (config.hostNetwork) return await connectHere(address.host, port, signal);
      return await connectWithin(sandboxFiles(ctx.dirs, id).net, address.socat(port), signal);
    } catch (error) {
      if (error instanceof GantryError) throw error;
      failure ??= error;
    }
  }
  throw nothingListens(port, failure);
}

/** With hostNetwork the loopback address is the host's. */
async function connectHere(host: string, port: number, signal: AbortSignal): Promise<Duplex> {
  const socket = connect({ host, port, allowHalfOpen: true });
  try {
    await once(socket, "connect", { signal });
  } catch (error) {
    socket.destroy();
    throw signal.aborted ? cancelled() : error;
  }
  return socket;
}

/** @throws GantryError command-missing, cancelled; Error with what socat said when it can't connect */
async function connectWithin(netns: string, address: string, signal: AbortSignal): Promise<Duplex> {
  const socat = findBinary("socat");
  if (socat === undefined) {
    throw new GantryError("command-missing", "socat is not installed: it connects to ports of pods", {
      hint: "Install it: apt-get install socat.",
    });
  }
  // Two -d: it says when it has connected.
  const args = [`--net=${netns}`, socat, "-d", "-d", "-t", NO_HURRY, "-b", String(PIECE_BYTES), "-", address];
  const child = spawn("nsenter", args, { stdio: ["pipe", "pipe", "pipe"] });
  const kill = (): void => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  try {
    await connected(child);
  } catch (error) {
    kill();
    throw signal.aborted ? cancelled() : error;
  } finally {
    signal.removeEventListener("abort", kill);
  }
  const { stdin, stdout } = child;
  if (stdin === null || stdout === null) throw new GantryError("internal", "no pipes to socat");
  stdin.on("error", () => {}); // the app has closed its connection
  const both = Duplex.from({ readable: stdout, writable: stdin });
  both.on("error", () => {}); // its end tells it all
  both.once("close", kill);
  if (signal.aborted) both.destroy();
  return both;
}

function connected(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    let said = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      if (said.length < MAX_SAID_BYTES) said += chunk.toString("utf8");
      if (said.includes("starting data transfer loop")) resolve();
    });
    child.on("error", (error) => reject(errnoOf(error) === "ENOENT" ? missing(error) : error));
    child.on("close", (code) => reject(new Error(`socat ended with ${code}: ${messageOf(said).slice(-400)}`)));
  });
}

function missing(cause: unknown): GantryError {
  return new GantryError("command-missing", "nsenter is not installed", {
    cause,
    hint: "Install it: apt-get install util-linux.",
  });
}

function cancelled(): GantryError {
  return new GantryError("cancelled", "connecting to the pod was cancelled", { kind: "system" });
}
