/**
 * One Git source at work: fetches, decides whether what came may come into force, and watches over its pods. What it
 * yields is the content of one revision, read from the bare copy; it changes as a whole, between two calls of `read`.
 */
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Problem } from "../../manifest/index.ts";
import { formatProblem } from "../../manifest/index.ts";
import type { TimerHandle } from "../../system/clock.ts";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { KeyedMutex } from "../../system/keyed-mutex.ts";
import type { Source, SourceState } from "../contract.ts";
import { compareContents, type ObjectDifference } from "./changes.ts";
import { type Revision, revisionText } from "./commit.ts";
import {
  atWaveContent,
  type Content,
  keptBeside,
  NO_CONTENT,
  type ParsedFile,
  waveOf,
  wavesOf,
  withKept,
} from "./content.ts";
import type { GitPorts } from "./contract.ts";
import {
  applied,
  atWave,
  becameHealthy,
  decide,
  factsSchema,
  fetched,
  fetchFailed,
  type InForce,
  type Kept,
  NOTHING_KNOWN,
  neededObjects,
  refused,
  rollbackTarget,
  type SourceFacts,
  stayedDegraded,
  wentBack,
} from "./facts.ts";
import { excusedPods, judge, type SourcePod, waveIsDone } from "./health.ts";
import { nextFetchMs } from "./pace.ts";
import { gitPlace, RevisionReader } from "./read-revision.ts";
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

export interface SeenPod {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly version: string;
  /** Its sandbox's id. */
  readonly sandbox: string | undefined;
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
/** The longest that node's timers can wait, with room. ms */
const LONGEST_TIMER_MS = 2 ** 30;

interface Candidate {
  readonly content: Content;
  readonly files: readonly ParsedFile[];
  readonly kept: readonly Kept[];
  readonly signer: string | undefined;
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
  #facts: SourceFacts;
  #content: Content = NO_CONTENT;
  /** What was in force before the present roll-out. */
  #before: Content = NO_CONTENT;
  #held: string | undefined;
  /** What was in force is read: before that nobody may think that there is nothing. */
  readonly #loaded = Promise.withResolvers<void>();
  /** Syncs that are on the way, and whether one more was asked for meanwhile. */
  #syncing = 0;
  #poked = false;
  /** Of the revision that was refused. */
  #refusal: readonly Problem[] = [];
  #changed: () => void = () => {};
  readonly #seen = new Map<string, SeenPod>();
  #fetchTimer: TimerHandle | undefined;
  #judgeTimer: TimerHandle | undefined;
  #judging = false;
  #revisions = 0;

  constructor(spec: GitSourceSpec, ports: GitPorts) {
    this.name = `git ${spec.name}`;
    this.spec = spec;
    this.#ports = ports;
    this.#repository = new Repository(join(ports.dir, spec.name));
    this.#reader = new RevisionReader(this.#repository, spec.name, ports.decode);
    this.#folder = folderIn(spec.path) ?? "";
    this.#facts = this.#remembered();
  }

  /** Puts what was in force back into force; the first fetch is begun, and not waited for. */
  async start(onChange: () => void): Promise<void> {
    this.#changed = onChange;
    const { active, rollout } = this.#facts;
    try {
      await this.#repository.open(this.#stopping.signal);
      if (active !== undefined) {
        this.#content = await this.#load(active);
        if (rollout?.from !== undefined) this.#before = await this.#load(rollout.from);
      }
    } catch (error) {
      this.#held = `the copy of the repository can't be read (${messageOf(error)}); everything stays as it is until it is fetched again`;
      await this.#repository.remove().catch(() => undefined);
    } finally {
      this.#loaded.resolve();
    }
    this.#fetchSoon(0);
  }

  async read(): Promise<SourceState> {
    await this.#loaded.promise;
    const { rollout } = this.#facts;
    const { objects, problems } =
      rollout === undefined ? this.#content : atWaveContent(this.#before, this.#content, rollout.wave);
    return { objects, problems: [...problems, ...this.#refusal], held: this.#held };
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#loaded.resolve();
    this.#ports.clock.clearTimeout(this.#fetchTimer);
    this.#ports.clock.clearTimeout(this.#judgeTimer);
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
    return statusOf(this.spec, this.#facts, this.#pods(), configured);
  }

  /**
   * Fetches now, and puts into force what came, if it may.
   * @returns whether something came into force
   * @throws GantryError source-failed, source-untrusted, invalid-manifest, conflict (it is suspended, or was rolled back)
   */
  async sync(wish: SyncWish = {}): Promise<boolean> {
    if (isSuspended(this.spec, this.#facts)) {
      throw new GantryError("conflict", `the source ${this.spec.name} is suspended`, {
        hint: `Let it go on first: gantry sync resume ${this.spec.name}`,
      });
    }
    this.#syncing++;
    try {
      const found = await this.#fetch();
      return await this.#turns.run("apply", () => this.#consider(found, wish));
    } finally {
      this.#syncing--;
      this.#fetchSoon(this.#poked ? 0 : undefined);
      if (this.#syncing === 0) this.#poked = false;
    }
  }

  /** The remote may have something new. However often this is called, there is one fetch at a time. */
  poke(): void {
    if (this.#syncing > 0) this.#poked = true;
    else this.#fetchSoon(0);
  }

  suspend(suspended: boolean): void {
    this.#save({ ...this.#facts, suspended });
    this.#tell(
      "Normal",
      suspended ? "Suspended" : "Resumed",
      suspended ? "nothing new comes into force" : "it is followed again",
    );
    this.#fetchSoon(suspended ? undefined : 0);
  }

  /** What the remote has that is not in force; fetches, and changes nothing. @throws as `sync` */
  async diff(): Promise<SourceDiff> {
    const found = await this.#fetch();
    return await this.#turns.run("apply", async () => {
      const { revision } = found;
      try {
        const { content } = await this.#examine(found, {});
        return {
          revision,
          differences: compareContents(this.#content, content),
          problems: content.problems,
          refusal: undefined,
        };
      } catch (error) {
        if (!isGantryError(error, "invalid-manifest", "source-untrusted", "conflict")) throw error;
        const content = await this.#reader.read(revision.oid, this.#folder, this.#stopping.signal);
        return {
          revision,
          differences: compareContents(this.#content, content),
          problems: content.problems,
          refusal: error.message,
        };
      }
    });
  }

  /** Back to an earlier revision, until there is a new commit. @returns it @throws GantryError conflict, not-found */
  async rollback(wanted: string | undefined): Promise<Revision> {
    return await this.#turns.run("apply", async () => {
      const target = rollbackTarget(this.#facts, wanted);
      if (typeof target === "string") {
        throw new GantryError("conflict", target, { hint: `See what there is: gantry sync status ${this.spec.name}` });
      }
      const message = `rolled back by hand to ${revisionText(target)}`;
      await this.#goBack({ revision: target, folder: this.#folder, kept: [] }, "by-hand", message);
      return target;
    });
  }

  /** A pod of it as it is now: one that has another sandbox without the repository asking for it was changed by hand. */
  podSeen(pod: SeenPod): void {
    if (pod.sandbox === undefined) return;
    const before = this.#seen.get(pod.key);
    this.#seen.set(pod.key, pod);
    if (before === undefined || before.version !== pod.version || before.sandbox === pod.sandbox) return;
    const message = `what ran of pod ${pod.key} was taken away by hand, or died; it was put back`;
    this.#save({ ...this.#facts, drift: { at: this.#ports.clock.now(), message } });
    this.#tell("Warning", "DriftCorrected", message);
  }

  /** A pod is gone: the next of its name is another one. */
  podGone(key: string): void {
    this.#seen.delete(key);
  }

  /** Something about its pods is otherwise now. */
  podsChanged(): void {
    if (this.#judging || this.#stopping.signal.aborted) return;
    if (this.#facts.trying === undefined && this.#facts.rollout === undefined) return;
    this.#judging = true;
    this.#turns
      .run("apply", async () => {
        this.#judging = false;
        await this.#judge();
      })
      .catch((error: unknown) => this.#logFailure(error, "looking at the pods of a source failed"));
  }

  // ---- fetching

  /** ms from now; undefined: when it is due. */
  #fetchSoon(afterMs: number | undefined): void {
    const { clock, random } = this.#ports;
    clock.clearTimeout(this.#fetchTimer);
    if (this.#stopping.signal.aborted || isSuspended(this.spec, this.#facts)) return;
    const due = afterMs ?? nextFetchMs(this.spec.intervalSeconds * 1000, this.#facts.failure?.count ?? 0, random());
    this.#fetchTimer = clock.setTimeout(
      () => {
        this.sync().catch((error: unknown) => {
          if (!isGantryError(error)) this.#logFailure(error, "a sync failed");
        });
      },
      Math.min(due, LONGEST_TIMER_MS),
    );
  }

  async #fetch(): Promise<Fetched> {
    return await this.#turns.run("fetch", async () => {
      const { clock } = this.#ports;
      try {
        const begun = performance.now();
        const found = await this.#repository.fetch(this.spec, this.#stopping.signal);
        this.#logTime("fetched", found.revision, begun);
        const { failure } = this.#facts;
        this.#save(fetched(this.#facts, found.revision, clock.now()));
        if (failure !== undefined) this.#tell("Normal", "Fetched", "the repository can be fetched again");
        return found;
      } catch (error) {
        if (this.#stopping.signal.aborted) throw error;
        const hint = isGantryError(error) ? error.hint : undefined;
        const known = this.#facts.failure?.message;
        this.#save(fetchFailed(this.#facts, messageOf(error), hint, clock.now()));
        if (known !== messageOf(error))
          this.#tell("Warning", "FetchFailed", `${messageOf(error)}${hint === undefined ? "" : `. ${hint}`}`);
        throw error;
      }
    });
  }

  // ---- coming into force

  async #consider(found: Fetched, wish: SyncWish): Promise<boolean> {
    const { revision } = found;
    const decision = decide(this.#facts, revision, this.#folder, wish.insist === true);
    if (decision.type === "blocked") {
      if (wish.insist === undefined) return false;
      throw new GantryError("conflict", `revision ${revisionText(revision)} is not tried again: ${decision.message}`, {
        hint: `Push a new commit, or insist: gantry sync now ${this.spec.name} --retry`,
      });
    }
    if (decision.type === "nothing" && this.#held === undefined) {
      if (this.#refusal.length > 0) this.#refuse([]);
      return false;
    }
    if (decision.type === "nothing") {
      await this.#recover();
      return false;
    }
    const begun = performance.now();
    let candidate: Candidate;
    try {
      candidate = await this.#examine(found, wish);
    } catch (error) {
      if (!isGantryError(error, "invalid-manifest", "source-untrusted", "conflict")) throw error;
      this.#refuseRevision(revision, error);
      throw error;
    }
    await this.#apply(revision, candidate);
    this.#logTime("came into force", revision, begun);
    return true;
  }

  /** The copy was lost, and is here again. */
  async #recover(): Promise<void> {
    const { active } = this.#facts;
    if (active === undefined) return;
    this.#content = await this.#load(active);
    this.#held = undefined;
    await this.#ports.look();
  }

  /** @throws GantryError source-untrusted, invalid-manifest, conflict (emptied) */
  async #examine(found: Fetched, wish: SyncWish): Promise<Candidate> {
    const { spec } = this;
    const { revision } = found;
    const { signal } = this.#stopping;
    const signer =
      spec.verify === undefined ? undefined : await verifyRevision(this.#repository.git, spec.verify, found, signal);
    const next = await this.#reader.read(revision.oid, this.#folder, signal);
    this.#guardEmpty(next, revision, wish);
    const broken = next.problems.filter(({ severity }) => severity === "error");
    if (spec.policy === "all-or-nothing" && broken.length > 0) throw invalid(revision, broken);
    const brokenFiles = new Set(broken.flatMap(({ place }) => gitPlace(place.file)?.path ?? []));
    const kept = keptBeside(next, this.#content, { prune: spec.prune, brokenFiles });
    const keptFiles = await this.#reader.readKept(kept, signal);
    const content = withKept(next, kept, keptFiles);
    if (spec.policy === "all-or-nothing") {
      const clashes = this.#ports.check(spec.name, content.objects).filter(({ severity }) => severity === "error");
      if (clashes.length > 0) throw invalid(revision, clashes);
    }
    return { content, files: [...next.files, ...keptFiles], kept, signer };
  }

  #guardEmpty(next: Content, revision: Revision, wish: SyncWish): void {
    if (next.objects.length > 0 || next.problems.some(({ severity }) => severity === "error")) return;
    if (this.spec.allowEmpty || wish.allowEmpty === true) return;
    const where = this.#folder === "" ? "" : ` in the folder ${this.#folder}`;
    const count = this.#content.objects.length;
    const message =
      count === 0
        ? `revision ${revisionText(revision)} has no manifests${where}`
        : `revision ${revisionText(revision)} has no manifests${where} any more: the ${count} objects in force stay`;
    throw new GantryError("conflict", message, {
      hint:
        count === 0
          ? "Correct path of the source, or push manifests."
          : `If that is meant: gantry sync now ${this.spec.name} --allow-empty`,
    });
  }

  #refuseRevision(revision: Revision, error: GantryError): void {
    const before = this.#facts.blocked;
    const { problems } = error.details;
    this.#save(refused(this.#facts, revision, error.message, this.#ports.clock.now()));
    this.#refuse(Array.isArray(problems) ? problems : []);
    if (before?.revision.oid === revision.oid && before.message === error.message) return;
    this.#tell("Warning", "RevisionRefused", `${error.message}. What is in force stays`);
    this.#ports.onOutcome?.(this.spec.name, revision, "Refused", error.message);
  }

  /** What is wrong with the refused revision is told with the problems of all manifests. */
  #refuse(problems: readonly Problem[]): void {
    this.#refusal = problems;
    this.#changed();
  }

  async #apply(revision: Revision, { content, files, kept, signer }: Candidate): Promise<void> {
    const { clock, deadlineMs } = this.#ports;
    const waves = wavesOf(content);
    const [first] = waves;
    const now = (await this.read()).objects;
    this.#before = { ...this.#content, objects: now };
    const after = applied(
      this.#facts,
      {
        revision,
        folder: this.#folder,
        kept,
        signer,
        wave: waves.length > 1 ? first : undefined,
        deadlineMs: this.spec.deadlineSeconds === undefined ? deadlineMs : this.spec.deadlineSeconds * 1000,
        excused: excusedPods(this.#pods()),
      },
      clock.now(),
    );
    await this.#repository.keep(neededObjects(after), this.#stopping.signal);
    this.#save(after);
    this.#reader.remember(files);
    this.#content = content;
    this.#held = undefined;
    this.#refusal = [];
    await this.#ports.look();
    this.#tell(
      "Normal",
      "Synced",
      `revision ${revisionText(revision)} of ${revision.author} is in force: ${revision.subject}`,
    );
    this.#ports.onOutcome?.(this.spec.name, revision, after.trying === undefined ? "Healthy" : "Progressing");
    await this.#judge();
    if (++this.#revisions % GARBAGE_AFTER === 0) this.#tidyUp();
  }

  /** Never while something is fetched: what came is not yet known to be needed. */
  #tidyUp(): void {
    this.#turns
      .run("fetch", () => this.#repository.collectGarbage(this.#stopping.signal))
      .catch((error: unknown) => this.#logFailure(error, "tidying up the copy of a repository failed"));
  }

  async #load({ revision, folder, kept }: InForce): Promise<Content> {
    const { signal } = this.#stopping;
    const read = await this.#reader.read(revision.oid, folder, signal);
    const keptFiles = await this.#reader.readKept(kept, signal);
    this.#reader.remember([...read.files, ...keptFiles]);
    return withKept(read, kept, keptFiles);
  }

  // ---- probation

  async #judge(): Promise<void> {
    const { clock, settleMs } = this.#ports;
    const { signal } = this.#stopping;
    for (;;) {
      const { rollout, trying, active } = this.#facts;
      if (signal.aborted || active === undefined) return;
      const pods = this.#pods();
      if (rollout !== undefined && waveIsDone(pods, rollout.wave)) {
        const next = wavesOf(this.#content).find((wave) => wave > rollout.wave);
        this.#save(atWave(this.#facts, next));
        if (next === undefined) this.#before = NO_CONTENT;
        await this.#ports.look();
        continue;
      }
      if (trying === undefined) return;
      const judgement = judge(trying, pods, clock.now(), settleMs);
      if (judgement.type === "failed") return await this.#failed(judgement.message);
      if (judgement.type === "healthy" && rollout === undefined) {
        this.#save(becameHealthy(this.#facts));
        this.#tell("Normal", "Healthy", `all pods of revision ${revisionText(active.revision)} are ready`);
        this.#ports.onOutcome?.(this.spec.name, active.revision, "Healthy");
        return;
      }
      const afterMs = judgement.type === "wait" ? judgement.afterMs : settleMs;
      clock.clearTimeout(this.#judgeTimer);
      this.#judgeTimer = clock.setTimeout(() => this.podsChanged(), Math.min(LONGEST_TIMER_MS, Math.max(20, afterMs)));
      return;
    }
  }

  async #failed(why: string): Promise<void> {
    const { active, healthy } = this.#facts;
    if (active === undefined) return;
    if (healthy === undefined || healthy.revision.oid === active.revision.oid) {
      this.#save(stayedDegraded(this.#facts, why));
      this.#tell(
        "Warning",
        "Degraded",
        `revision ${revisionText(active.revision)}: ${why}; there is no healthy one to go back to`,
      );
      this.#ports.onOutcome?.(this.spec.name, active.revision, "Degraded", why);
      return;
    }
    await this.#goBack(healthy, "unhealthy", `revision ${revisionText(active.revision)} was rolled back: ${why}`);
  }

  async #goBack(to: InForce, why: "unhealthy" | "by-hand", message: string): Promise<void> {
    const { signal } = this.#stopping;
    const left = this.#facts.active?.revision;
    const there = await this.#load(to);
    const stays = keptBeside(there, this.#content, { prune: this.spec.prune, brokenFiles: new Set() });
    const content = withKept(there, stays, await this.#reader.readKept(stays, signal));
    const inForce = { ...to, kept: [...to.kept, ...stays] };
    const after = wentBack(this.#facts, inForce, why, message, this.#ports.clock.now());
    await this.#repository.keep(neededObjects(after), signal);
    this.#save(after);
    this.#content = content;
    this.#before = NO_CONTENT;
    await this.#ports.look();
    this.#tell(
      "Warning",
      "RolledBack",
      `${message}; ${revisionText(to.revision)} is in force, until there is a new commit`,
    );
    if (left !== undefined) this.#ports.onOutcome?.(this.spec.name, left, "RolledBack", message);
  }

  #pods(): readonly SourcePod[] {
    const waves = new Map(
      this.#content.objects.map((loaded) => [`${loaded.place.file}:${loaded.place.line}`, waveOf(loaded)]),
    );
    return this.#ports.pods(this.spec.name).map(({ origin, ...pod }) => ({ ...pod, wave: waves.get(origin) ?? 0 }));
  }

  // ---- what is known

  #remembered(): SourceFacts {
    const { store, log } = this.#ports;
    const row = store.list().find(({ key }) => key === this.spec.name);
    if (row === undefined) return NOTHING_KNOWN;
    try {
      return factsSchema.parse(JSON.parse(row.text));
    } catch (error) {
      log.warn({ source: this.spec.name, reason: messageOf(error) }, "what was kept of a source can't be read");
      return NOTHING_KNOWN;
    }
  }

  #save(facts: SourceFacts): void {
    this.#facts = facts;
    try {
      this.#ports.store.put(this.spec.name, JSON.stringify(facts));
    } catch (error) {
      this.#ports.log.warn({ source: this.spec.name, reason: messageOf(error) }, "the state of a source can't be kept");
    }
  }

  #tell(type: "Normal" | "Warning", reason: string, message: string): void {
    this.#ports.event({
      object: `Source/${this.name}`,
      podUid: undefined,
      type,
      reason,
      message,
      at: this.#ports.clock.now(),
    });
  }

  #logTime(what: string, { oid }: Revision, begun: number): void {
    const ms = Math.round((performance.now() - begun) * 10) / 10;
    this.#ports.log.debug({ source: this.spec.name, revision: oid, ms }, what);
  }

  #logFailure(error: unknown, what: string): void {
    if (!this.#stopping.signal.aborted) this.#ports.log.error({ source: this.spec.name, err: error }, what);
  }
}

function invalid(revision: Revision, problems: readonly Problem[]): GantryError {
  const [first] = problems;
  const more = problems.length > 1 ? ` (and ${problems.length - 1} more)` : "";
  return new GantryError(
    "invalid-manifest",
    `revision ${revisionText(revision)} has errors: ${first === undefined ? "" : formatProblem(first).replaceAll("\n", " ")}${more}`,
    { hint: "Mend the manifests and push again; what is in force stays.", details: { problems } },
  );
}
