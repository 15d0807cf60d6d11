/**
 * The schema of state.db, one entry per version, applied in order; `PRAGMA user_version` says how far a file is.
 * Never edit an entry that was released: add one.
 */
export const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE pods (
    uid TEXT PRIMARY KEY,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    sandbox_attempt INTEGER NOT NULL,
    deletion_deadline INTEGER,
    failure TEXT
  ) STRICT;
  CREATE TABLE containers (
    pod_uid TEXT NOT NULL,
    name TEXT NOT NULL,
    spec_hash TEXT NOT NULL,
    attempt INTEGER NOT NULL,
    restart_count INTEGER NOT NULL,
    backoff_level INTEGER NOT NULL,
    backoff_until INTEGER,
    last_exit TEXT,
    previous_exit TEXT,
    PRIMARY KEY (pod_uid, name)
  ) STRICT;
  CREATE TABLE accepted (
    uid TEXT PRIMARY KEY,
    text TEXT NOT NULL
  ) STRICT;
  CREATE TABLE last_good (
    source TEXT NOT NULL,
    file TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (source, file)
  ) STRICT;
  CREATE TABLE events (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    object TEXT NOT NULL,
    pod_uid TEXT,
    type TEXT NOT NULL,
    reason TEXT NOT NULL,
    message TEXT NOT NULL,
    first_at INTEGER NOT NULL,
    at INTEGER NOT NULL,
    count INTEGER NOT NULL
  ) STRICT;
  CREATE INDEX events_by_object ON events (object, id);
  `,
  "ALTER TABLE containers ADD COLUMN checks TEXT;",
  `
  CREATE TABLE updates (
    key TEXT NOT NULL,
    container TEXT NOT NULL,
    facts TEXT NOT NULL,
    PRIMARY KEY (key, container)
  ) STRICT;
  `,
  `
  CREATE TABLE objects (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
  CREATE TABLE versions (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;
  `,
  "CREATE TABLE served (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;",
  "CREATE TABLE sources (key TEXT PRIMARY KEY, text TEXT NOT NULL) STRICT;",
];
