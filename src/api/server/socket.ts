import { chmod, lstat, mkdir, unlink } from "node:fs/promises";
import { connect } from "node:net";
import { dirname } from "node:path";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";

/** sun_path of a Linux socket address, without the closing zero (unix(7)). Bytes. */
const MAX_SOCKET_PATH = 107;
const PROBE_TIMEOUT_MS = 2000;

/**
 * Readies the place of a socket: a directory that only root may enter, and no socket of a dead daemon in it.
 * @throws GantryError daemon-running (someone answers there), already-exists (there is something else),
 *   invalid-config (the path is too long), internal (the directory can't be made)
 */
export async function claimSocket(socketPath: string): Promise<void> {
  if (Buffer.byteLength(socketPath) > MAX_SOCKET_PATH) {
    throw new GantryError("invalid-config", `the path of the API's socket is too long for Linux: ${socketPath}`, {
      hint: `It may have ${MAX_SOCKET_PATH} bytes; choose a root directory with a shorter path (--root).`,
    });
  }
  const directory = dirname(socketPath);
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
  } catch (cause) {
    throw new GantryError("internal", `cannot make the directory of the API's socket: ${messageOf(cause)}`, {
      kind: "system",
      hint: `Check that ${directory} can be written by root.`,
      cause,
    });
  }
  const kind = await kindAt(socketPath);
  if (kind === "nothing") return;
  if (kind === "other") {
    throw new GantryError("already-exists", `${socketPath} exists and is not a socket`, { hint: "Move it away." });
  }
  if (await answers(socketPath)) {
    throw new GantryError("daemon-running", `another daemon answers at ${socketPath}`, {
      hint: "Stop it first, or start this one with another --root.",
    });
  }
  await unlink(socketPath).catch((cause) => {
    if (errnoOf(cause) !== "ENOENT") throw cause;
  });
}

async function kindAt(path: string): Promise<"nothing" | "socket" | "other"> {
  try {
    return (await lstat(path)).isSocket() ? "socket" : "other";
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "nothing";
    throw error;
  }
}

/** One that accepts, or is too busy to within the time, is alive. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const done = (alive: boolean): void => {
      socket.destroy();
      resolve(alive);
    };
    socket.setTimeout(PROBE_TIMEOUT_MS, () => done(true));
    socket.on("connect", () => done(true));
    // EAGAIN: its backlog is full.
    socket.on("error", (error) => done(errnoOf(error) === "EAGAIN"));
  });
}
