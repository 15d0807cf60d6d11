import { existsSync, mkdirSync, renameSync } from "node:fs";
import { dirname } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { GantryError, messageOf, toGantryError } from "../system/errors.ts";
import { MIGRATIONS } from "./migrations.ts";

export interface OpenedDatabase {
  readonly database: DatabaseSync;
  /** Set when the file was damaged: it was moved here and a new one begun. */
  readonly setAside: { readonly path: string; readonly why: string } | undefined;
}

/**
 * Opens state.db and brings it to the newest version. A damaged file is moved aside, never deleted: the daemon
 * rebuilds what it can from manifests and observation.
 *
 * @param now ms since the epoch, for the name of a file set aside
 * @throws GantryError disk-full, state-damaged (written by a newer Gantry, or the directory can't be written)
 */
export function openDatabase(path: string, now: number): OpenedDatabase {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  } catch (error) {
    throw unwritable(path, error);
  }
  try {
    return { database: openHealthy(path), setAside: undefined };
  } catch (error) {
    if (error instanceof GantryError) throw error;
    if (!isDamage(error)) throw unwritable(path, error);
    const aside = `${path}.damaged-${new Date(now).toISOString().replace(/[:.]/g, "-")}`;
    for (const suffix of ["", "-wal", "-shm"]) {
      if (existsSync(path + suffix)) renameSync(path + suffix, aside + suffix);
    }
    return { database: openHealthy(path), setAside: { path: aside, why: messageOf(error) } };
  }
}

function openHealthy(path: string): DatabaseSync {
  const database = new DatabaseSync(path);
  try {
    // WAL with NORMAL survives a killed process without loss, and a power cut with at most the last moments lost.
    database.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA busy_timeout = 2000;");
    const check = database.prepare("PRAGMA quick_check(1)").get();
    if (check?.["quick_check"] !== "ok") throw new Damage(String(check?.["quick_check"]));
    migrate(database, path);
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

function migrate(database: DatabaseSync, path: string): void {
  const version = Number(database.prepare("PRAGMA user_version").get()?.["user_version"] ?? 0);
  if (version > MIGRATIONS.length) {
    throw new GantryError(
      "state-damaged",
      `${path} was written by a newer Gantry (version ${version}, this one knows ${MIGRATIONS.length})`,
      {
        hint: "Install the newer Gantry again, or move the file away: it is then rebuilt from manifests and what runs.",
      },
    );
  }
  for (let next = version; next < MIGRATIONS.length; next++) {
    database.exec(`BEGIN IMMEDIATE; ${MIGRATIONS[next]}; PRAGMA user_version = ${next + 1}; COMMIT;`);
  }
}

class Damage extends Error {}

/** SQLite's result codes that mean: the file itself is bad. See sqlite.org/rescode.html */
const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

function isDamage(error: unknown): boolean {
  if (error instanceof Damage) return true;
  if (!(error instanceof Error) || !("errcode" in error)) return false;
  // The low byte is the primary code. SQLITE_ERROR here: tables that migrations expect are missing or different.
  return [SQLITE_ERROR, SQLITE_CORRUPT, SQLITE_NOTADB].includes(Number(error.errcode) & 0xff);
}

function unwritable(path: string, error: unknown): GantryError {
  if (toGantryError(error).code === "disk-full" || messageOf(error).includes("disk is full")) {
    return new GantryError("disk-full", `cannot write ${path}: the disk is full`, {
      kind: "system",
      cause: error,
      hint: "Free some disk space and start again.",
    });
  }
  return new GantryError("state-damaged", `cannot use ${path}: ${messageOf(error)}`, {
    kind: "system",
    cause: error,
    hint: `Make ${dirname(path)} writable for this user, or choose another place with --root DIR.`,
  });
}
