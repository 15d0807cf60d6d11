/** A folder of manifests as a source. */
import { resolve } from "node:path";
import { identityOf } from "../manifest/index.ts";
import { createOpener, type Opener } from "../secrets/index.ts";
import type { StateStore } from "../store/contract.ts";
import { type Clock, systemClock, type TimerHandle } from "../system/clock.ts";
import type { Source, SourceState } from "./contract.ts";
import { type FolderContent, FolderReader } from "./folder-reader.ts";
import { stillWriting } from "./open-files.ts";
import { fileProblem } from "./read-file.ts";
import { readFound } from "./read-manifests.ts";
import { RootGuard, rootIdentity } from "./root-guard.ts";
import { type Scan, scan } from "./scan.ts";
import { type FolderWatcher, watchFolder } from "./watcher.ts";

export interface FolderSourceOptions {
  readonly path: string;
  readonly lastGood: StateStore["lastGood"];
  readonly clock?: Clock;
  /** Opens encrypted files. Default: one without keys, which says that they are missing. */
  readonly opener?: Opener;
}

/** How often a file that is being written is looked at, ms: at first so that nobody waits, later sparingly. */
const WRITING_INTERVAL_MS = 4;
const LONG_WRITING_INTERVAL_MS = 50;
/** After this time a file that is still being written is worth a word. */
const LONG_WRITING_MS = 5_000;
/** A file that changed this shortly before it was read is read once more, ms. */
const RACY_INTERVAL_MS = 25;
/** How often a folder that is held is looked at, ms. */
const HELD_INTERVAL_MS = 250;

/** The manifests below a folder; it need not be there yet. */
export function createFolderSource(options: FolderSourceOptions): Source {
  const path = resolve(options.path);
  const name = `folder ${path}`;
  const clock = options.clock ?? systemClock;
  const guard = new RootGuard(path);
  const opener = options.opener ?? createOpener([]);
  const reader = new FolderReader(options.lastGood, name, clock.now, opener);
  let watcher: FolderWatcher | undefined;
  let changed: () => void = () => {};
  let timer: TimerHandle | undefined;
  /** Files that could not be decrypted at the first look; undefined before that. */
  let doubtful: ReadonlySet<string> | undefined;
  let judged: { readonly keys: string; readonly missing: readonly string[] } | undefined;

  return {
    name,
    async start(onChange) {
      changed = onChange;
      watcher = await watchFolder(path, clock, () => changed());
      await settled();
    },
    read: settled,
    async stop() {
      changed = () => {};
      if (timer !== undefined) clock.clearTimeout(timer);
      await watcher?.close();
      watcher = undefined;
    },
  };

  /** A look takes what is encrypted only when it has been opened: it is opened then, and looked at again. */
  async function settled(): Promise<SourceState> {
    let state = read();
    while (opener.pending) {
      await opener.settle();
      state = read();
    }
    opener.forget();
    doubtful ??= new Set(reader.closed);
    return state;
  }

  function read(): SourceState {
    const root = guard.look();
    if (root.type === "held") return held(`${root.reason}; everything stays as it is until it is back`);
    const found = scan(path);
    const unreadable = found.unreadable.find((place) => place.path === path);
    if (unreadable !== undefined) return held(`${unreadable.message}; everything stays as it is until it can be read`);
    if (root.type === "other") {
      const missing = root.deliberate ? [] : missingIn(found);
      if (missing.length > 0) return held(replaced(missing));
      guard.accept(root.identity);
    }
    judged = undefined;
    const content = reader.read(found);
    lookAgain();
    return { objects: content.objects, problems: [...content.problems, ...remarks()], held: closed() };
  }

  /**
   * After a start without the key, nothing tells what the file asks for, and what of it may be running: it is not taken
   * for nothing. One that comes later was never in force.
   */
  function closed(): string | undefined {
    const file = reader.closed.find((path) => doubtful === undefined || doubtful.has(path));
    return file === undefined ? undefined : `${file} can't be decrypted; nothing is removed until it can be`;
  }

  function held(reason: string): SourceState {
    const content: FolderContent = reader.content;
    waitForRoot(rootIdentity(path));
    return { ...content, held: reason };
  }

  /** The watcher may never have seen what was seen here, as mounts come and go without events. */
  function waitForRoot(seen: string): void {
    if (timer !== undefined) clock.clearTimeout(timer);
    timer = clock.setTimeout(() => {
      if (rootIdentity(path) === seen) waitForRoot(seen);
      else changed();
    }, HELD_INTERVAL_MS);
  }

  /** The objects in force that another folder at this path does not define. An unmounted folder has none of them. */
  function missingIn(found: Scan): readonly string[] {
    const keys = found.files.map((file) => `${file.path} ${file.key}`).join("\n");
    if (judged?.keys === keys) return judged.missing;
    const there = new Set(readFound(found, opener).objects.map((loaded) => identityOf(loaded.object)));
    const missing = reader.content.objects
      .map((loaded) => identityOf(loaded.object))
      .filter((identity) => !there.has(identity));
    judged = { keys, missing };
    return missing;
  }

  function remarks() {
    const now = clock.now();
    const long = reader.beingWritten.filter((file) => now - file.since >= LONG_WRITING_MS);
    const writing = long.map((file) =>
      fileProblem(file.path, `is not read yet: process ${file.writer.pid} has it open for writing`, "warning"),
    );
    if (watcher?.error === undefined) return writing;
    return [
      ...writing,
      fileProblem(path, `changes are seen late: the folder can't be watched: ${watcher.error}`, "warning"),
    ];
  }

  /** Closing a file makes no event, so whoever writes one is looked at until it is done. */
  function lookAgain(): void {
    if (timer !== undefined) clock.clearTimeout(timer);
    timer = undefined;
    const writing = reader.beingWritten;
    if (writing.length === 0 && !reader.racy) return;
    const long = writing.every((file) => clock.now() - file.since >= LONG_WRITING_MS);
    const interval = writing.length === 0 ? RACY_INTERVAL_MS : long ? LONG_WRITING_INTERVAL_MS : WRITING_INTERVAL_MS;
    timer = clock.setTimeout(() => {
      timer = undefined;
      const remark = writing.some((file) => !long && clock.now() - file.since >= LONG_WRITING_MS);
      if (writing.length === 0 || remark || writing.some((file) => !stillWriting(file.writer))) changed();
      else lookAgain();
    }, interval);
  }
}

function replaced(missing: readonly string[]): string {
  const some = missing.slice(0, 3).join(", ") + (missing.length > 3 ? ` and ${missing.length - 3} more` : "");
  return `another folder is there now (was it unmounted?), without ${some}; everything stays as it is until the former one is back; restart Gantry to go by this one`;
}
