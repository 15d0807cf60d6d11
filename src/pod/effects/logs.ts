/** The log files of a pod, as far as they are ours to read or remove; drivers write them. */
import { open, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../../system/errors.ts";
import { logTail } from "../rules/termination.ts";

/** Enough for 80 lines of a CRI log whose texts are at most 2048 bytes together, with their time stamps. */
const TAIL_BYTES = 16 * 1024;

/** The last lines of a log as a termination message; "" when there is none. */
export async function readLogTail(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const { size } = await file.stat();
    const from = Math.max(0, size - TAIL_BYTES);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size - from), 0, size - from, from);
    return logTail(buffer.toString("utf8", 0, bytesRead));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  }
}

/** Removes the logs of runs before `keepFrom`, their rotated parts too: `<n>.log`, `<n>.log.<time>` … */
export async function pruneLogs(directory: string, keepFrom: number): Promise<void> {
  let files: string[];
  try {
    files = await readdir(directory);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return;
    throw error;
  }
  const old = files.filter((file) => {
    const attempt = /^(\d+)\.log(?:\.|$)/.exec(file)?.[1];
    return attempt !== undefined && Number(attempt) < keepFrom;
  });
  await Promise.all(old.map((file) => rm(join(directory, file), { force: true })));
}

export async function removeLogs(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
}
