/**
 * What of a source is in force: the content of one revision, read from the copy. It changes as a whole, between two
 * looks of the daemon.
 */
import { identityOf, type Problem } from "../../manifest/index.ts";
import { messageOf } from "../../system/errors.ts";
import type { SourceState } from "../contract.ts";
import { type Revision, revisionText } from "./commit.ts";
import { atWaveContent, type Content, keptBeside, NO_CONTENT, waveOf, wavesOf, withKept } from "./content.ts";
import type { GitPorts } from "./contract.ts";
import type { Candidate } from "./examine.ts";
import { type Applied, applied, type InForce, neededObjects, wentBack } from "./facts.ts";
import { excusedPods, type SourcePod } from "./health.ts";
import type { Journal } from "./journal.ts";
import type { RevisionReader } from "./read-revision.ts";
import type { Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";

export interface InForceOptions {
  readonly spec: GitSourceSpec;
  readonly folder: string;
  readonly ports: GitPorts;
  readonly journal: Journal;
  readonly repository: Repository;
  readonly reader: RevisionReader;
  readonly signal: AbortSignal;
}

export class ContentInForce {
  readonly #options: InForceOptions;
  #content: Content = NO_CONTENT;
  /** What was in force before the present roll-out. */
  #before: Content = NO_CONTENT;
  #held: string | undefined;
  /** Of the revision that was refused. */
  #refusal: readonly Problem[] = [];
  /** What was in force is read: before that nobody may think that there is nothing. */
  readonly #loaded = Promise.withResolvers<void>();

  constructor(options: InForceOptions) {
    this.#options = options;
  }

  get content(): Content {
    return this.#content;
  }

  /** What is in force is not all that should be: the copy was lost, or a file could not be decrypted. */
  get isImpaired(): boolean {
    return this.#held !== undefined || this.#content.closed.length > 0;
  }

  get isRefusing(): boolean {
    return this.#refusal.length > 0;
  }

  /** Puts what was in force before a restart back into force. */
  async resume(): Promise<void> {
    const { journal, repository, signal } = this.#options;
    const { active, rollout } = journal.facts;
    try {
      await repository.open(signal);
      if (active === undefined) return;
      this.#content = await this.#load(active);
      this.#held = heldFor(this.#content);
      if (rollout?.from !== undefined) this.#before = await this.#load(rollout.from);
    } catch (error) {
      this.#held = `the copy of the repository can't be read (${messageOf(error)}); everything stays as it is until it is fetched again`;
      await repository.remove().catch(() => undefined);
    } finally {
      this.#loaded.resolve();
    }
  }

  /** Nobody waits any more. */
  abandon(): void {
    this.#loaded.resolve();
  }

  async read(): Promise<SourceState> {
    await this.#loaded.promise;
    const { objects, problems } = this.#shown();
    return { objects, problems: [...problems, ...this.#refusal], held: this.#held };
  }

  /** The copy is here again, or the keys are. @returns whether something is otherwise now */
  async recover(): Promise<boolean> {
    const { journal, ports } = this.#options;
    const { active } = journal.facts;
    if (active === undefined) return false;
    const content = await this.#load(active);
    const held = this.#held === undefined ? undefined : heldFor(content);
    if (held === this.#held && content.closed.length === this.#content.closed.length) return false;
    this.#content = content;
    this.#held = held;
    await ports.look();
    return true;
  }

  /** What is wrong with a refused revision is told with the problems of all manifests. */
  refuse(problems: readonly Problem[]): void {
    this.#refusal = problems;
  }

  async apply(revision: Revision, { content, files, kept, signer }: Candidate): Promise<void> {
    const { spec, folder, ports, journal, repository, reader, signal } = this.#options;
    const waves = wavesOf(content);
    const [first] = waves;
    const shown = this.#shown();
    const what: Applied = {
      revision,
      folder,
      kept,
      signer,
      wave: waves.length > 1 ? first : undefined,
      deadlineMs: spec.deadlineSeconds === undefined ? ports.deadlineMs : spec.deadlineSeconds * 1000,
      excused: excusedPods(this.pods()),
    };
    const now = journal.now();
    await repository.keep(neededObjects(applied(journal.facts, what, now)), signal);
    this.#before = { ...this.#content, objects: shown.objects };
    // Of the facts as they are now: meanwhile somebody may have suspended the source, or a fetch may have ended.
    const after = applied(journal.facts, what, now);
    journal.save(after);
    reader.remember(files);
    this.#content = content;
    this.#held = this.#held === undefined ? undefined : heldFor(content);
    this.#refusal = [];
    await ports.look();
    const text = `revision ${revisionText(revision)} of ${revision.author} is in force: ${revision.subject}`;
    journal.tell("Normal", "Synced", text);
    journal.outcome(revision, after.trying === undefined ? "Healthy" : "Progressing", text);
  }

  /** The next wave is in force, or all of it. */
  async atWave(wave: number | undefined): Promise<void> {
    if (wave === undefined) this.#before = NO_CONTENT;
    await this.#options.ports.look();
  }

  async goBack(to: InForce, why: "unhealthy" | "by-hand", message: string): Promise<void> {
    const { spec, ports, journal, repository, reader, signal } = this.#options;
    const left = journal.facts.active?.revision;
    const there = await this.#load(to);
    const stays = keptBeside(there, this.#content, { prune: spec.prune, brokenFiles: new Set() });
    const content = withKept(there, stays, await reader.readKept(stays, signal));
    const now = journal.now();
    const changed = () => wentBack(journal.facts, { ...to, kept: [...to.kept, ...stays] }, why, message, now);
    await repository.keep(neededObjects(changed()), signal);
    journal.save(changed());
    this.#content = content;
    this.#before = NO_CONTENT;
    await ports.look();
    const until = `${message}; ${revisionText(to.revision)} is in force, until there is a new commit`;
    journal.tell("Warning", "RolledBack", until);
    if (left !== undefined) journal.outcome(left, "RolledBack", message);
  }

  pods(): readonly SourcePod[] {
    const { spec, ports, journal } = this.#options;
    const { active, rollout } = journal.facts;
    const objects = new Map(
      this.#content.objects.map((loaded) => [`${loaded.place.file}:${loaded.place.line}`, loaded]),
    );
    const kept = new Map(active?.kept.map(({ identity, why }) => [identity, why]));
    return ports.pods(spec.name).map(({ origin, ...pod }) => {
      const loaded = objects.get(origin);
      const wave = loaded === undefined ? 0 : waveOf(loaded);
      const why = loaded === undefined ? undefined : kept.get(identityOf(loaded.object));
      const by = rollout !== undefined && wave > rollout.wave ? rollout.from : active;
      return { ...pod, wave, kept: why, revision: pod.synced && why === undefined ? by?.revision.oid : undefined };
    });
  }

  /** While the waves are gone through, a part of the new beside a part of the old. */
  #shown(): Content {
    const { rollout } = this.#options.journal.facts;
    return rollout === undefined ? this.#content : atWaveContent(this.#before, this.#content, rollout.wave);
  }

  async #load({ revision, folder, kept }: InForce): Promise<Content> {
    const { reader, signal } = this.#options;
    const read = await reader.read(revision.oid, folder, signal);
    const keptFiles = await reader.readKept(kept, signal);
    reader.remember([...read.files, ...keptFiles]);
    return withKept(read, kept, keptFiles);
  }
}

/** After a start without the key nothing tells what a file asks for, and what of it may be running. */
function heldFor({ closed: [file] }: Content): string | undefined {
  return file === undefined ? undefined : `${file} can't be decrypted; nothing is removed until it can be`;
}
