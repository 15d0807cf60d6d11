/**
 * One Git source at work: fetches, decides whether what came may come into force, and watches over its pods. Each part
 * has a room of its own; here they take turns.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Problem } from "../../manifest/index.ts";
import { GantryError, isGantryError, toGantryError } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import type { Source, SourceState } from "../contract.ts";
import { compareContents, type ObjectDifference } from "./changes.ts";
import { type Revision, revisionText } from "./commit.ts";
import type { GitPorts } from "./contract.ts";
import { Drift, type SeenPod } from "./drift.ts";
import { type Candidate, type ExamineOptions, examine, isRefusal } from "./examine.ts";
import { decide, refused, rollbackTarget, signerOf } from "./facts.ts";
import { Fetching } from "./fetching.ts";
import { ContentInForce } from "./in-force.ts";
import { Journal } from "./journal.ts";
import { Probation } from "./probation.ts";
import { RevisionReader } from "./read-revision.ts";
import { type Fetched, Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";
import { isSuspended, type SourceStatus, statusOf } from "./status.ts";
import { folderIn } from "./url.ts";
import { verifyRevision } from "./verify.ts";

export interface SyncWish {
  /** Somebody asked for it: a revision that was rolled back is tried again. */
  readonly insist?: boolean;
  /** A revision without any manifest is meant. */
  readonly allowEmpty?: boolean;
}

export interface SourceDiff {
  readonly revision: Revision;
  readonly differences: readonly ObjectDifference[];
  readonly problems: readonly Problem[];
  /** Why it would not come into force. */
  readonly refusal: string | undefined;
}

/** After so many revisions the copy is tidied up. */
const GARBAGE_AFTER = 20;

/** What a source is called among those of the reconciler. */
export function sourceName(name: string): string {
  return `git ${name}`;
}

export class GitSource implements Source {
  readonly name: string;
  readonly spec: GitSourceSpec;
  readonly #ports: GitPorts;
  readonly #repository: Repository;
  readonly #reader: RevisionReader;
  readonly #folder: string;
  readonly #stopping = new AbortController();
  readonly #turns = new KeyedMutex();
  readonly #journal: Journal;
  readonly #fetching: Fetching;
  readonly #inForce: ContentInForce;
  readonly #probation: Probation;
  readonly #drift: Drift;
  /** Syncs that are on the way, and whether one more was asked for meanwhile. */
  #syncing = 0;
  #poked = false;
  #changed: () => void = () => {};
  #revisions = 0;
  /** What is in force is signed as the settings of now ask. */
  #isVerified = false;

  constructor(spec: GitSourceSpec, ports: GitPorts) {
    this.name = sourceName(spec.name);
    this.spec = spec;
    this.#ports = ports;
    this.#folder = folderIn(spec.path) ?? "";
    const { signal } = this.#stopping;
    const repository = new Repository(join(ports.dir, spec.name));
    const reader = new RevisionReader(repository, spec, ports.parse);
    const journal = new Journal(spec, ports);
    const inForce = new ContentInForce({
      ...{ spec, ports, journal, repository, reader, signal },
      folder: this.#folder,
    });
    this.#repository = repository;
    this.#reader = reader;
    this.#journal = journal;
    this.#inForce = inForce;
    this.#fetching = new Fetching({
      ...{ spec, ports, journal, repository, signal },
      folder: this.#folder,
      onDue: () => this.#syncNow(),
    });
    this.#probation = new Probation({
      ...{ ports, journal, inForce, signal },
      inTurn: (work) => this.#turns.run("apply", work),
    });
    this.#drift = new Drift(journal);
  }

  /** Puts what was in force back into force; the first fetch is begun, and not waited for. */
  async start(onChange: () => void): Promise<void> {
    this.#changed = onChange;
    await this.#inForce.resume();
    this.#fetching.plan(0);
  }

  async read(): Promise<SourceState> {
    return await this.#inForce.read();
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#inForce.abandon();
    this.#fetching.stop();
    this.#probation.stop();
    this.#changed = () => {};
    await this.#turns.run("fetch", async () => undefined);
    await this.#turns.run("apply", async () => undefined);
  }

  /** Forgets everything of it; it must have been stopped. */
  async forget(): Promise<void> {
    this.#ports.store.remove(this.spec.name);
    await rm(join(this.#ports.dir, this.spec.name), { recursive: true, force: true });
  }

  status(configured: boolean): SourceStatus {
    return statusOf(this.spec, this.#journal.facts, this.#inForce.pods(), configured);
  }

  /**
   * Fetches now, and puts into force what came, if it may.
   * @returns whether something came into force
   * @throws GantryError source-failed, source-untrusted, invalid-manifest, conflict (it is suspended, or was rolled back)
   */
  async sync(wish: SyncWish = {}): Promise<boolean> {
    this.#assertFollowed();
    this.#syncing++;
    try {
      const found = await this.#fetch();
      return await this.#turns.run("apply", () => this.#consider(found, wish));
    } finally {
      this.#syncing--;
      this.#fetching.plan(this.#poked ? 0 : undefined);
      if (this.#syncing === 0) this.#poked = false;
    }
  }

  /** @throws GantryError conflict */
  #assertFollowed(): void {
    if (!isSuspended(this.spec, this.#journal.facts)) return;
    throw new GantryError("conflict", `the source ${this.spec.name} is suspended`, {
      hint: `Let it go on first: gantry sync resume ${this.spec.name}`,
    });
  }

  /** The remote may have something new. However often this is called, there is one fetch at a time. */
  poke(): void {
    if (this.#syncing > 0) this.#poked = true;
    else this.#fetching.plan(0);
  }

  suspend(suspended: boolean): void {
    this.#journal.save({ ...this.#journal.facts, suspended });
    if (suspended) this.#journal.tell("Normal", "Suspended", "nothing new comes into force");
    else this.#journal.tell("Normal", "Resumed", "it is followed again");
    this.#fetching.plan(suspended ? undefined : 0);
  }

  /** What the remote has that is not in force; fetches, and changes nothing. @throws as `sync` */
  async diff(): Promise<SourceDiff> {
    const found = await this.#fetch();
    return await this.#turns.run("apply", async () => {
      const { revision } = found;
      const { content, refusal } = await this.#examine(found, {}).then(
        (candidate) => ({ content: candidate.content, refusal: undefined }),
        async (error: unknown) => {
          if (!isRefusal(error)) throw error;
          const read = await this.#reader.read(revision.oid, this.#folder, this.#stopping.signal);
          return { content: read, refusal: error.message };
        },
      );
      const differences = compareContents(this.#inForce.content, content);
      return { revision, differences, problems: content.problems, refusal };
    });
  }

  /** Back to an earlier revision, until there is a new commit. @returns it @throws GantryError conflict, not-found */
  async rollback(wanted: string | undefined): Promise<Revision> {
    return await this.#turns.run("apply", async () => {
      const target = rollbackTarget(this.#journal.facts, wanted);
      if (typeof target === "string") {
        throw new GantryError("conflict", target, { hint: `See what there is: gantry sync status ${this.spec.name}` });
      }
      if (this.spec.verify !== undefined && signerOf(this.#journal.facts, target.oid) === undefined) {
        const what = `revision ${revisionText(target)} came into force before signatures were asked for`;
        throw new GantryError("source-untrusted", what, { hint: "Sign it, and push it as a new commit." });
      }
      const message = `rolled back by hand to ${revisionText(target)}`;
      await this.#inForce.goBack({ revision: target, folder: this.#folder, kept: [] }, "by-hand", message);
      return target;
    });
  }

  /** A pod of it as it is now. */
  podSeen(pod: SeenPod): void {
    this.#drift.seen(pod);
  }

  drifted(message: string): void {
    this.#drift.report(message);
  }

  /** A pod is gone: the next of its name is another one. */
  podGone(key: string): void {
    this.#drift.gone(key);
  }

  /** Something about its pods is otherwise now. */
  podsChanged(): void {
    this.#probation.podsChanged();
  }

  #syncNow(): void {
    this.sync().catch((error: unknown) => {
      if (!isGantryError(error)) this.#logFailure(error, "a sync failed");
    });
  }

  async #fetch(): Promise<Fetched> {
    try {
      return await this.#turns.run("fetch", () => this.#fetching.fetch());
    } catch (error) {
      // A key that came back needs no remote.
      if (this.#inForce.content.closed.length > 0) await this.#turns.run("apply", () => this.#inForce.recover());
      throw error;
    }
  }

  /** @returns whether something came into force */
  async #consider(found: Fetched, wish: SyncWish): Promise<boolean> {
    const { revision } = found;
    const decision = decide(this.#journal.facts, revision, this.#folder, wish.insist === true);
    switch (decision.type) {
      case "blocked":
        if (wish.insist === undefined) return false;
        throw new GantryError(
          "conflict",
          `revision ${revisionText(revision)} is not tried again: ${decision.message}`,
          {
            hint: `Push a new commit, or insist: gantry sync now ${this.spec.name} --retry`,
          },
        );
      case "nothing": {
        await this.#verifyInForce(found);
        if (this.#inForce.isImpaired) return await this.#inForce.recover();
        if (this.#inForce.isRefusing) this.#refuse([]);
        return false;
      }
      case "consider": {
        const begun = performance.now();
        const candidate = await this.#examineOrRefuse(found, wish);
        // Somebody may have said so while it was fetched and read.
        this.#assertFollowed();
        await this.#applyOrRefuse(revision, candidate);
        this.#journal.logTime("came into force", revision, begun);
        return true;
      }
    }
  }

  /** Signatures may be asked for since it came into force, or others: it stays, but is not passed off as good. */
  async #verifyInForce(found: Fetched): Promise<void> {
    const { verify } = this.spec;
    const { blocked } = this.#journal.facts;
    if (this.#isVerified && blocked === undefined) return;
    try {
      if (verify !== undefined) await verifyRevision(this.#repository.git, verify, found, this.#stopping.signal);
    } catch (error) {
      this.#tellRefusal(found.revision, error);
      throw error;
    }
    this.#isVerified = true;
    if (blocked?.why !== "refused") return;
    const { blocked: _over, ...rest } = this.#journal.facts;
    this.#journal.save(rest);
    this.#journal.fetchedAgain();
  }

  async #examineOrRefuse(found: Fetched, wish: SyncWish): Promise<Candidate> {
    try {
      return await this.#examine(found, wish);
    } catch (error) {
      this.#tellRefusal(found.revision, error);
      throw error;
    }
  }

  async #applyOrRefuse(revision: Revision, candidate: Candidate): Promise<void> {
    try {
      await this.#apply(revision, candidate);
    } catch (error) {
      if (this.#journal.facts.active?.revision.oid !== revision.oid) this.#tellRefusal(revision, error);
      throw error;
    }
  }

  /** Whatever keeps it from coming into force, its own fault or not (a key that can't be read, a full disk), is told. */
  #tellRefusal(revision: Revision, error: unknown): void {
    if (!this.#stopping.signal.aborted) this.#refuseRevision(revision, toGantryError(error));
  }

  #examine(found: Fetched, wish: SyncWish): Promise<Candidate> {
    const options: ExamineOptions = {
      spec: this.spec,
      folder: this.#folder,
      repository: this.#repository,
      reader: this.#reader,
      check: this.#ports.check,
      signal: this.#stopping.signal,
    };
    return examine(found, this.#inForce.content, wish.allowEmpty === true, options);
  }

  #refuseRevision(revision: Revision, error: GantryError): void {
    const journal = this.#journal;
    const before = journal.facts.blocked;
    const { problems } = error.details;
    journal.save(refused(journal.facts, revision, error.message, journal.now()));
    this.#refuse(Array.isArray(problems) ? problems : []);
    if (before?.revision.oid === revision.oid && before.message === error.message) return;
    this.#countRevision();
    journal.tell("Warning", "RevisionRefused", `${error.message}. What is in force stays`);
    journal.outcome(revision, "Refused", error.message);
  }

  #refuse(problems: readonly Problem[]): void {
    this.#inForce.refuse(problems);
    this.#changed();
  }

  async #apply(revision: Revision, candidate: Candidate): Promise<void> {
    await this.#inForce.apply(revision, candidate);
    this.#isVerified = true;
    await this.#probation.look();
    this.#countRevision();
  }

  /** What is refused takes room, too. */
  #countRevision(): void {
    if (++this.#revisions % GARBAGE_AFTER === 0) this.#tidyUp();
  }

  /** Never while something is fetched: what came is not yet known to be needed. */
  #tidyUp(): void {
    this.#turns
      .run("fetch", () => this.#repository.collectGarbage(this.#stopping.signal))
      .catch((error: unknown) => this.#logFailure(error, "tidying up the copy of a repository failed"));
  }

  #logFailure(error: unknown, what: string): void {
    if (!this.#stopping.signal.aborted) this.#journal.logFailure(error, what);
  }
}
