import { accessSync, constants, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";

export interface DaemonLock {
  release(): void;
}

/**
 * One daemon per root. The lock is an exclusive transaction on a small SQLite file, because Node.js offers no file
 * locks of its own: the kernel drops it with the process, however that ends, so it can't go stale.
 *
 * @throws GantryError daemon-running (names the first one's pid), state-damaged (the directory can't be written)
 */
export function takeDaemonLock(paths: Paths): DaemonLock {
  const file = `${paths.lockFile}.lock`;
  let database: DatabaseSync;
  try {
    makeDirectory(dirname(file));
    database = new DatabaseSync(file);
    database.exec("PRAGMA busy_timeout = 0; PRAGMA journal_mode = MEMORY; BEGIN EXCLUSIVE");
  } catch (error) {
    if (messageOf(error).includes("database is locked")) throw alreadyRunning(paths);
    throw new GantryError("state-damaged", `cannot use ${dirname(file)}: ${messageOf(error)}`, {
      kind: "system",
      cause: error,
      hint: "Run as root, make the directory writable, or choose another place with --root DIR.",
    });
  }
  writeFileSync(paths.lockFile, `${process.pid}\n`);
  return { release: () => database.close() };
}

/**
 * Level by level: where the kernel says ENOENT though the parent is there (/proc), a recursive mkdir of Node.js never
 * ends, and below what can't be written to it says only that there is no such directory.
 */
function makeDirectory(path: string): void {
  if (existsSync(path)) return;
  const above = dirname(path);
  if (existsSync(above)) accessSync(above, constants.W_OK);
  else makeDirectory(above);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error; // another daemon, starting at the same time
  }
}

function alreadyRunning(paths: Paths): GantryError {
  const pid = holder(paths);
  const who = pid === undefined ? "another process" : `process ${pid}`;
  return new GantryError("daemon-running", `a Gantry daemon already runs on ${paths.root} (${who})`, {
    hint: `Use it ('gantry status'), stop it first${pid === undefined ? "" : ` (kill ${pid})`}, or give this one another --root.`,
    details: { pid },
  });
}

function holder(paths: Paths): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(paths.lockFile, "utf8"), 10);
    return Number.isNaN(pid) ? undefined : pid;
  } catch {
    return undefined; // it has only just taken the lock
  }
}
