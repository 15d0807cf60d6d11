/**
 * What the files of one folder say, read again only where something changed.
 *
 * Keeps, per file, the objects that are in force: those of its present text, and of what is broken in it the
 * last good version.
 */
import { byPosition, identityOf, type LoadedObject, type Problem } from "../manifest/index.ts";
import { createOpener, type Opener } from "../secrets/index.ts";
import type { StateStore } from "../store/contract.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import { distinct } from "./duplicates.ts";
import { createLastGood, type LastGood, stale, textOfObjects } from "./last-good.ts";
import { findWriters, stillWriting, type Writer } from "./open-files.ts";
import { readBounded } from "./read-bounded.ts";
import { fileProblem, type ReadFile, readManifestFile } from "./read-file.ts";
import type { FoundFile, Scan } from "./scan.ts";

interface Entry {
  readonly key: string;
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
  /** Changed so shortly before it was read that another change may have left the key the same: compare it again. */
  racy: Buffer | undefined;
  /** The whole text, until it is remembered as last good. */
  text: string | undefined;
  /** The identities that are remembered as last good. */
  remembered: string | undefined;
  /** Of an encrypted file, of which nothing is kept beyond this process. */
  readonly secret: ReadFile["secret"];
}

export interface FolderContent {
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
}

/** File systems stamp changes with the time of the last timer tick: 10 ms at most, doubled. */
const TICK_MS = 20;

export class FolderReader {
  readonly #lastGood: LastGood;
  readonly #entries = new Map<string, Entry>();
  readonly #writers = new Map<string, { readonly writer: Writer; readonly since: number }>();
  readonly #now: () => number;
  readonly #opener: Opener;
  #owners: ReadonlyMap<string, string> = new Map();
  #content: FolderContent = { objects: [], problems: [] };
  #unreadable = "";

  constructor(store: StateStore["lastGood"], source: string, now: () => number, opener: Opener = createOpener([])) {
    this.#lastGood = createLastGood(store, source);
    this.#now = now;
    this.#opener = opener;
  }

  /** What was in force when it was last read; before that, what the last daemon had. */
  get content(): FolderContent {
    if (this.#owners.size > 0 || this.#entries.size > 0) return this.#content;
    return { objects: [...this.#lastGood.files].flatMap((file) => this.#lastGood.objects(file)), problems: [] };
  }

  /** Files that are not taken because a process has them open for writing. */
  get beingWritten(): readonly { readonly path: string; readonly writer: Writer; readonly since: number }[] {
    return [...this.#writers].map(([path, entry]) => ({ path, ...entry }));
  }

  /**
   * Encrypted files of which nothing is known, for want of a key: whatever they ask for may be running since before
   * this process.
   */
  get closed(): readonly string[] {
    return [...this.#entries].flatMap(([path, { secret, objects }]) =>
      secret === "closed" && objects.length === 0 ? [path] : [],
    );
  }

  /** Files that the next read will look at again whatever their key says. */
  get racy(): boolean {
    return [...this.#entries.values()].some((entry) => entry.racy !== undefined);
  }

  read(found: Scan): FolderContent {
    const unreadable = JSON.stringify(found.unreadable);
    const first = this.#entries.size === 0;
    const changed = this.#takeChanges(found);
    const gone = this.#dropMissing(found);
    if (!changed && !gone && !first && unreadable === this.#unreadable) return this.#content;
    this.#unreadable = unreadable;
    this.#content = this.#combine(found);
    this.#lastGood.forgetTexts();
    return this.#content;
  }

  #takeChanges(found: Scan): boolean {
    const changed = found.files.filter((file) => {
      const entry = this.#entries.get(file.path);
      return entry === undefined || entry.key !== file.key || !this.#settle(entry, file);
    });
    const waiting = new Set(changed.map((file) => file.path));
    for (const path of this.#writers.keys()) if (!waiting.has(path)) this.#writers.delete(path);
    const free = changed.filter((file) => {
      const known = this.#writers.get(file.path);
      return known === undefined || !stillWriting(known.writer);
    });
    const writers = findWriters(free.map((file) => file.path));
    for (const file of free) {
      const writer = writers.get(file.path);
      if (writer !== undefined) {
        this.#writers.set(file.path, { writer, since: this.#writers.get(file.path)?.since ?? this.#now() });
        this.#keepAsItWas(file.path);
        continue;
      }
      this.#writers.delete(file.path);
      this.#entries.set(file.path, this.#readEntry(file));
    }
    return free.length > 0;
  }

  /** Whether a file with the same key still has the same content. */
  #settle(entry: Entry, file: FoundFile): boolean {
    if (entry.racy === undefined) return true;
    const racy = this.#isRacy(file);
    try {
      if (!readBounded(file.path, entry.racy.length).equals(entry.racy)) return false;
    } catch {
      return false;
    }
    if (!racy) entry.racy = undefined;
    return true;
  }

  #isRacy(file: FoundFile): boolean {
    return Math.abs(this.#now() - file.mtimeMs) < TICK_MS;
  }

  #readEntry(file: FoundFile): Entry {
    const before = this.#entries.get(file.path);
    const { objects, problems, text, bytes, secret } = readManifestFile(file.path, file.size, this.#opener);
    const racy = this.#isRacy(file) ? bytes : undefined;
    // What could not be opened is tried again at every look: the key may be there then.
    const key = secret === "pending" || secret === "closed" ? "" : file.key;
    const base = { key, problems, racy, text, remembered: undefined, secret };
    if (text !== undefined) return { ...base, objects };
    // Broken: what is good in it counts, and of the rest the version that was in force.
    const fresh = new Set(objects.map((loaded) => identityOf(loaded.object)));
    const previous = before?.objects ?? this.#lastGood.objects(file.path);
    const kept = previous.filter((loaded) => !fresh.has(identityOf(loaded.object))).map(stale);
    return { ...base, objects: [...objects, ...kept] };
  }

  /** A file that can't be read yet, and that the last daemon knew. */
  #keepAsItWas(path: string): void {
    if (this.#entries.has(path) || !this.#lastGood.files.has(path)) return;
    this.#entries.set(path, unread(this.#lastGood.objects(path), undefined));
  }

  /** Forgets files that are gone; those that merely can't be looked at stay as they were. */
  #dropMissing(found: Scan): boolean {
    const there = new Set(found.files.map((file) => file.path));
    let gone = false;
    for (const path of new Set([...this.#entries.keys(), ...this.#lastGood.files])) {
      if (there.has(path)) continue;
      if (found.unreadable.some((place) => path === place.path || path.startsWith(`${place.path}/`))) {
        const entry = this.#entries.get(path);
        this.#entries.set(path, unread((entry?.objects ?? this.#lastGood.objects(path)).map(stale), entry?.remembered));
      } else {
        gone = this.#entries.delete(path) || gone;
        this.#forget(path);
      }
    }
    return gone;
  }

  /** On a full disk its last good version stays, and is removed by a later look. */
  #forget(path: string): void {
    try {
      this.#lastGood.remove(path);
    } catch (error) {
      if (!isGantryError(error)) throw error;
    }
  }

  #combine(found: Scan): FolderContent {
    const all = [...this.#entries.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).flatMap(([, entry]) => entry.objects);
    const { objects, problems } = distinct(
      all,
      (identity) => this.#owners.get(identity) ?? this.#rememberedOwner(identity, all),
    );
    this.#owners = new Map(objects.map((loaded) => [identityOf(loaded.object), loaded.place.file]));
    const forgetful = this.#remember(objects);
    const broken = found.unreadable.map((place) => fileProblem(place.path, place.message));
    const ofFiles = [...this.#entries.values()].flatMap((entry) => entry.problems);
    return { objects, problems: byPosition([...ofFiles, ...problems, ...broken, ...forgetful]) };
  }

  /** Of several files that define an object, the one whose version was in force in the last daemon. */
  #rememberedOwner(identity: string, all: readonly LoadedObject[]): string | undefined {
    const rivals = all.filter((loaded) => identityOf(loaded.object) === identity);
    if (rivals.length < 2) return undefined;
    const files = [...new Set(rivals.map((rival) => rival.place.file))];
    return files.find((file) => this.#lastGood.objects(file).some((loaded) => identityOf(loaded.object) === identity));
  }

  /** Remembers what each file has in force now. */
  #remember(inForce: readonly LoadedObject[]): Problem[] {
    const problems: Problem[] = [];
    const byFile = Map.groupBy(inForce, (loaded) => loaded.place.file);
    for (const [path, entry] of this.#entries) {
      const objects = byFile.get(path) ?? [];
      const identities = objects.map((loaded) => identityOf(loaded.object)).join("\n");
      if (entry.remembered === identities) continue;
      if (entry.secret !== undefined) {
        this.#forget(path);
        entry.remembered = identities;
        continue;
      }
      const whole = entry.text !== undefined && objects.length === entry.objects.length;
      const text = whole && entry.text !== undefined ? entry.text : textOfObjects(objects);
      try {
        if (objects.length === 0) this.#lastGood.remove(path);
        else this.#lastGood.put(path, text);
      } catch (error) {
        // It still runs; only a restart while the file is broken would not know it.
        problems.push(fileProblem(path, `its last good version can't be kept: ${messageOf(error)}`, "warning"));
      }
      entry.remembered = identities;
      entry.text = undefined;
    }
    return problems;
  }
}

/** An entry whose file was not read: any key is a new one. */
function unread(objects: readonly LoadedObject[], remembered: string | undefined): Entry {
  return { key: "", objects, problems: [], racy: undefined, text: undefined, remembered, secret: undefined };
}
