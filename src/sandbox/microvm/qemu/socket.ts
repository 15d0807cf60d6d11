import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { createConnection, type Socket } from "node:net";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, GantryError } from "../../../system/errors.ts";

/** A socket's path may have 107 bytes; see unix(7). */
const MAX_PATH = 107;
/** Often at first, since a clone is there within ms; a VM that is gone is not asked for long. */
const FIRST_POLL_MS = 1;
const LAST_POLL_MS = 50;

/**
 * Connects to a unix socket as soon as somebody listens there, wherever it lies.
 * @throws GantryError cancelled when `signal` is aborted first
 */
export async function connectUnix(path: string, signal: AbortSignal): Promise<Socket> {
  for (let pollMs = FIRST_POLL_MS; ; pollMs = Math.min(pollMs * 1.1, LAST_POLL_MS)) {
    if (signal.aborted) throw new GantryError("cancelled", `nobody listens at ${path}`, { kind: "system" });
    try {
      return await connectOnce(path);
    } catch (error) {
      const errno = errnoOf(error);
      // Not there yet, nobody listens yet, or its one place in the queue is taken for a moment.
      if (errno !== "ENOENT" && errno !== "ECONNREFUSED" && errno !== "EAGAIN") throw error;
    }
    await sleep(pollMs, undefined, { ref: false });
  }
}

/** @throws Node's system error */
async function connectOnce(path: string): Promise<Socket> {
  const long = Buffer.byteLength(path) > MAX_PATH;
  // A directory that is open has a short name for us.
  const directory = long ? openSync(dirname(path), "r") : undefined;
  try {
    const socket = createConnection(directory === undefined ? path : `/proc/self/fd/${directory}/${basename(path)}`);
    await once(socket, "connect");
    return socket;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}
