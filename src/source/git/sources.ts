/** All Git sources of a daemon: those of config.yaml, and those that were added by hand. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { nearestName } from "../../system/nearest.ts";
import type { Source } from "../contract.ts";
import type { Revision } from "./commit.ts";
import type { GitPorts } from "./contract.ts";
import type { SeenPod } from "./drift.ts";
import type { GitSourceSpec } from "./schema.ts";
import { GitSource, type SourceDiff, type SyncWish, sourceName } from "./source.ts";
import { readSpecFiles, type SpecFiles } from "./spec-files.ts";
import type { SourceStatus } from "./status.ts";

export interface GitSourcesOptions extends GitPorts {
  /** Folder of the configuration. */
  readonly etc: string;
  /** Those of config.yaml. */
  readonly configured: readonly GitSourceSpec[];
  /** The reconciler's: from now on it reads this source, or does not any more. */
  readonly attach: (source: Source) => Promise<void>;
  readonly detach: (source: Source) => Promise<void>;
}

export class GitSources {
  readonly #options: GitSourcesOptions;
  readonly #sources = new Map<string, GitSource>();
  readonly #held = new Map<string, Source>();
  #broken: readonly string[] = [];
  #reloading: Promise<void> = Promise.resolve();

  constructor(options: GitSourcesOptions) {
    this.#options = options;
  }

  /** Takes up what is configured now: new sources are followed, others are let go of with their pods. */
  async reload(): Promise<void> {
    const mine = this.#reloading.then(() => this.#reload());
    this.#reloading = mine.catch(() => undefined);
    await mine;
  }

  list(): SourceStatus[] {
    return [...this.#sources.values()].map((source) => source.status(this.#isConfigured(source.spec.name)));
  }

  /** Files of sources that can't be read, and sources that don't get on, as sentences. */
  troubles(): readonly string[] {
    const failing = this.list().flatMap(({ name, sync, health, message }) =>
      sync === "Failed" || (sync === "OutOfSync" && message !== undefined) || health === "Degraded"
        ? [
            `Git source ${name}: ${sync}, ${health}${message === undefined ? "" : `: ${message}`} (gantry sync status ${name})`,
          ]
        : [],
    );
    return [...this.#broken, ...failing];
  }

  /** @throws GantryError not-found */
  status(name: string): SourceStatus {
    return this.#get(name).status(this.#isConfigured(name));
  }

  /** @throws as GitSource.sync */
  async sync(name: string, wish: SyncWish): Promise<{ readonly changed: boolean; readonly status: SourceStatus }> {
    const changed = await this.#get(name).sync(wish);
    return { changed, status: this.status(name) };
  }

  suspend(name: string, suspended: boolean): SourceStatus {
    this.#get(name).suspend(suspended);
    return this.status(name);
  }

  async diff(name: string): Promise<SourceDiff> {
    return await this.#get(name).diff();
  }

  async rollback(name: string, wanted: string | undefined): Promise<Revision> {
    return await this.#get(name).rollback(wanted);
  }

  /** Whether there is such a source; for the webhook, which tells nobody. */
  find(name: string): GitSource | undefined {
    return this.#sources.get(name);
  }

  /** Something about some pod is otherwise now. Cheap when no revision is on probation. */
  podsChanged(): void {
    for (const source of this.#sources.values()) source.podsChanged();
  }

  /** @param source the one that the pod is of */
  podSeen(source: string, pod: SeenPod): void {
    this.#sources.get(source)?.podSeen(pod);
  }

  /** Something of a pod of it was changed by hand, and put back. @param source undefined: the pod is of no Git source */
  drifted(source: string | undefined, message: string): void {
    if (source !== undefined) this.#sources.get(source)?.drifted(message);
  }

  podGone(key: string): void {
    for (const source of this.#sources.values()) source.podGone(key);
  }

  #isConfigured(name: string): boolean {
    return this.#options.configured.some((spec) => spec.name === name);
  }

  #get(name: string): GitSource {
    const found = this.#sources.get(name);
    if (found !== undefined) return found;
    const near = nearestName(name, [...this.#sources.keys()]);
    throw new GantryError("not-found", `there is no source ${JSON.stringify(name)}`, {
      hint: near === undefined ? "See what there is: gantry sync list" : `Did you mean '${near}'?`,
    });
  }

  async #reload(): Promise<void> {
    const { etc, configured, log } = this.#options;
    const { specs, broken } = await readSpecFiles(etc);
    const taken = new Set(configured.map(({ name }) => name));
    const twice = specs
      .filter(({ name }) => taken.has(name))
      .map(({ name }) => `sources.d/${name}.yaml: config.yaml has a source of this name, which counts`);
    this.#broken = [...broken.map(({ message }) => message), ...twice];
    for (const message of this.#broken) log.warn({ message }, "a source can't be followed");
    const wanted = new Map([...specs, ...configured].map((spec) => [spec.name, spec]));
    // What a broken file says is not known: its source goes on as it is.
    const unclear = this.#unclear(broken);
    for (const [name, source] of [...this.#sources]) {
      const spec = wanted.get(name);
      if (spec === undefined ? unclear.has(name) : isDeepStrictEqual(spec, source.spec)) continue;
      this.#sources.delete(name);
      if (spec === undefined) {
        await this.#options.detach(source);
        await source.forget();
      } else await this.#replace(source, spec);
    }
    for (const [name, spec] of wanted) if (!this.#sources.has(name)) await this.#add(spec);
    await this.#hold(unclear);
    await this.#tidy(new Set([...wanted.keys(), ...unclear]));
  }

  /** Sources of which nobody can tell whether, and how, they are to be followed. */
  #unclear(broken: SpecFiles["broken"]): ReadonlySet<string> {
    const names = broken.map(({ name }) => name);
    if (!names.includes("")) return new Set(names);
    const known = [...this.#sources.keys(), ...this.#options.store.list().map(({ key }) => key)];
    return new Set(known.filter((name) => !this.#isConfigured(name)));
  }

  /** Those that are not followed since the start of the daemon: of their pods, too, nothing is known. */
  async #hold(unclear: ReadonlySet<string>): Promise<void> {
    const { attach, detach, store } = this.#options;
    const known = new Set(store.list().map(({ key }) => key));
    for (const [name, source] of [...this.#held]) {
      if (unclear.has(name)) continue;
      this.#held.delete(name);
      // One that is followed now has taken its place.
      if (!this.#sources.has(name)) await detach(source);
    }
    for (const name of unclear) {
      if (this.#sources.has(name) || this.#held.has(name) || !known.has(name)) continue;
      const source = heldSource(name);
      this.#held.set(name, source);
      await attach(source);
    }
  }

  async #add(spec: GitSourceSpec): Promise<void> {
    await mkdir(this.#options.dir, { recursive: true, mode: 0o700 });
    const source = new GitSource(spec, this.#options);
    this.#sources.set(spec.name, source);
    await this.#options.attach(source);
  }

  /** The new one begins with what the old one had in force, before the old one is let go of. */
  async #replace(old: GitSource, spec: GitSourceSpec): Promise<void> {
    await old.stop();
    const source = new GitSource(spec, this.#options);
    this.#sources.set(spec.name, source);
    await this.#options.attach(source);
  }

  /** Copies and facts of sources that are gone, such as those removed while no daemon ran. */
  async #tidy(known: ReadonlySet<string>): Promise<void> {
    const { dir, store, log } = this.#options;
    for (const { key } of store.list()) if (!known.has(key)) store.remove(key);
    try {
      for (const name of await readdir(dir))
        if (!known.has(name)) await rm(join(dir, name), { recursive: true, force: true });
    } catch (error) {
      if (errnoOf(error) !== "ENOENT")
        log.warn({ reason: messageOf(error) }, "copies of former sources can't be removed");
    }
  }
}

/** In place of a source whose file can't be read. */
function heldSource(name: string): Source {
  const held = `sources.d/${name}.yaml can't be read; nothing is removed until it can be`;
  return {
    name: sourceName(name),
    start: async () => {},
    read: async () => ({ objects: [], problems: [], held }),
    stop: async () => {},
  };
}
