/** Facts that outlive the daemon, in one SQLite file. */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { GantryError, toGantryError } from "../system/errors.ts";
import type { ContainerFacts, NewEvent, PodEvent, PodFacts, StateStore, TextTable, UpdateFacts } from "./contract.ts";
import { openDatabase } from "./open.ts";
import { acceptedRow, containerRow, eventRow, lastGoodRow, podRow, textRow, updateRow } from "./rows.ts";

export type * from "./contract.ts";

export interface OpenedStore {
  readonly store: StateStore;
  /** A sentence about a damaged file that was set aside; for the log and an event. */
  readonly notice: string | undefined;
}

/**
 * @param path of the file, or ":memory:" for tests
 * @throws GantryError see openDatabase
 */
export function openStore(path: string, now: () => number = Date.now): OpenedStore {
  const { database, setAside } = openDatabase(path, now());
  const notice =
    setAside &&
    `The state database was damaged (${setAside.why}). It is kept as ${setAside.path}; a new one is rebuilt from the manifests and from what runs. Restart counts and events start anew.`;
  return { store: createStore(database), notice };
}

/** https://www.sqlite.org/rescode.html */
const SQLITE_FULL = 13;

function isFull(error: unknown): boolean {
  return error instanceof Error && "errcode" in error && error.errcode === SQLITE_FULL;
}

function diskFull(cause: unknown): GantryError {
  return new GantryError("disk-full", "cannot write the state database: the disk is full", {
    kind: "system",
    cause,
    hint: "Free some disk space; Gantry tries again by itself.",
  });
}

/** Statements are prepared once; a failing write (full disk) surfaces as a GantryError and leaves the row as it was. */
function createStore(database: DatabaseSync): StateStore {
  const statement = (sql: string) => {
    const prepared = database.prepare(sql);
    return {
      all: (...values: SQLInputValue[]) => prepared.all(...values),
      run(...values: SQLInputValue[]): void {
        try {
          prepared.run(...values);
        } catch (error) {
          if (isFull(error)) throw diskFull(error);
          throw toGantryError(error, "state-damaged", "cannot write the state database");
        }
      },
    };
  };
  return {
    pods: podTable(statement),
    containers: containerTable(statement),
    accepted: acceptedTable(statement),
    lastGood: lastGoodTable(statement),
    updates: updateTable(statement),
    objects: textTable(statement, "objects"),
    served: textTable(statement, "served"),
    versions: textTable(statement, "versions"),
    sources: textTable(statement, "sources"),
    events: eventTable(statement),
    close: () => database.close(),
  };
}

interface Statement {
  all(...values: SQLInputValue[]): unknown[];
  run(...values: SQLInputValue[]): void;
}
type Prepare = (sql: string) => Statement;

/** JSON column value: null for undefined. */
function column(value: unknown): string | null {
  return value === undefined ? null : JSON.stringify(value);
}

function podTable(prepare: Prepare): StateStore["pods"] {
  const all = prepare("SELECT * FROM pods ORDER BY created_at, uid");
  const put = prepare("INSERT OR REPLACE INTO pods VALUES (?, ?, ?, ?, ?, ?, ?)");
  const removePod = prepare("DELETE FROM pods WHERE uid = ?");
  const removeContainers = prepare("DELETE FROM containers WHERE pod_uid = ?");
  const removeAccepted = prepare("DELETE FROM accepted WHERE uid = ?");
  return {
    list: () => all.all().map((row): PodFacts => podRow.parse(row)),
    put: (f) =>
      put.run(f.uid, f.namespace, f.name, f.createdAt, f.sandboxAttempt, f.deletionDeadline ?? null, column(f.failure)),
    remove(uid) {
      // First what would bring it back: the process may be killed between any two.
      removeAccepted.run(uid);
      removeContainers.run(uid);
      removePod.run(uid);
    },
  };
}

function containerTable(prepare: Prepare): StateStore["containers"] {
  const byPod = prepare("SELECT * FROM containers WHERE pod_uid = ? ORDER BY name");
  const put = prepare("INSERT OR REPLACE INTO containers VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");
  const remove = prepare("DELETE FROM containers WHERE pod_uid = ? AND name = ?");
  return {
    list: (uid) => byPod.all(uid).map((row): ContainerFacts => containerRow.parse(row)),
    put: (f) =>
      put.run(
        f.podUid,
        f.name,
        f.specHash,
        f.attempt,
        f.restartCount,
        f.backoffLevel,
        f.backoffUntil ?? null,
        column(f.lastExit),
        column(f.previousExit),
        column(f.checks),
      ),
    remove: (uid, name) => remove.run(uid, name),
  };
}

function acceptedTable(prepare: Prepare): StateStore["accepted"] {
  const all = prepare("SELECT uid, text FROM accepted ORDER BY uid");
  const put = prepare("INSERT OR REPLACE INTO accepted VALUES (?, ?)");
  const remove = prepare("DELETE FROM accepted WHERE uid = ?");
  return {
    list: () => all.all().map((row) => acceptedRow.parse(row)),
    put: (uid, text) => put.run(uid, text),
    remove: (uid) => remove.run(uid),
  };
}

function lastGoodTable(prepare: Prepare): StateStore["lastGood"] {
  const bySource = prepare("SELECT file, text FROM last_good WHERE source = ? ORDER BY file");
  const put = prepare("INSERT OR REPLACE INTO last_good VALUES (?, ?, ?)");
  const remove = prepare("DELETE FROM last_good WHERE source = ? AND file = ?");
  return {
    list: (source) => bySource.all(source).map((row) => lastGoodRow.parse(row)),
    put: (source, file, text) => put.run(source, file, text),
    remove: (source, file) => remove.run(source, file),
  };
}

function updateTable(prepare: Prepare): StateStore["updates"] {
  const all = prepare("SELECT facts FROM updates ORDER BY key, container");
  const put = prepare("INSERT OR REPLACE INTO updates VALUES (?, ?, ?)");
  const remove = prepare("DELETE FROM updates WHERE key = ? AND container = ?");
  return {
    list: () => all.all().map((row): UpdateFacts => updateRow.parse(row).facts),
    put: (facts) => put.run(facts.key, facts.container, JSON.stringify(facts)),
    remove: (key, container) => remove.run(key, container),
  };
}

function textTable(prepare: Prepare, table: "objects" | "served" | "versions" | "sources"): TextTable {
  const all = prepare(`SELECT key, text FROM ${table} ORDER BY key`);
  const put = prepare(`INSERT OR REPLACE INTO ${table} VALUES (?, ?)`);
  const remove = prepare(`DELETE FROM ${table} WHERE key = ?`);
  return {
    list: () => all.all().map((row) => textRow.parse(row)),
    put: (key, text) => put.run(key, text),
    remove: (key) => remove.run(key),
  };
}

function eventTable(prepare: Prepare): StateStore["events"] {
  const newest = prepare("SELECT * FROM events WHERE object = ? ORDER BY id DESC LIMIT 1");
  const insert = prepare(
    "INSERT INTO events (object, pod_uid, type, reason, message, first_at, at, count) VALUES (?, ?, ?, ?, ?, ?, ?, 1)",
  );
  const again = prepare("UPDATE events SET at = ?, count = count + 1 WHERE id = ?");
  const all = prepare("SELECT * FROM events WHERE id > ? ORDER BY id");
  const byObject = prepare("SELECT * FROM events WHERE id > ? AND object = ? ORDER BY id");
  const prune = prepare("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?");
  const latest = (object: string): PodEvent | undefined => newest.all(object).map((row) => eventRow.parse(row))[0];
  const same = (a: PodEvent, b: NewEvent): boolean =>
    a.type === b.type && a.reason === b.reason && a.message === b.message && a.podUid === b.podUid;
  return {
    add(event) {
      const last = latest(event.object);
      if (last !== undefined && same(last, event)) {
        again.run(event.at, last.id);
        return { ...last, at: event.at, count: last.count + 1 };
      }
      insert.run(event.object, event.podUid ?? null, event.type, event.reason, event.message, event.at, event.at);
      return { ...event, id: latest(event.object)?.id ?? 0, firstAt: event.at, count: 1 };
    },
    list({ object, sinceId = 0 } = {}) {
      const rows = object === undefined ? all.all(sinceId) : byObject.all(sinceId, object);
      return rows.map((row) => eventRow.parse(row));
    },
    prune: (keep) => prune.run(keep),
  };
}
