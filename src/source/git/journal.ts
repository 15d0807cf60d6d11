/** What is known of one source, kept over restarts; and who is told what becomes of it. */
import type { SyncOutcome } from "../../notify/index.ts";
import { messageOf } from "../../system/errors.ts";
import { type Revision, revisionText } from "./commit.ts";
import type { GitPorts } from "./contract.ts";
import { factsSchema, type HistoryEntry, NOTHING_KNOWN, type SourceFacts } from "./facts.ts";
import { type GitSourceSpec, refText } from "./schema.ts";

/** In the words of notifications. */
const TOLD_AS: Readonly<Record<HistoryEntry["outcome"], SyncOutcome>> = {
  Progressing: "progressing",
  Healthy: "synced",
  Superseded: "synced",
  Degraded: "degraded",
  RolledBack: "rolled-back",
  Refused: "refused",
};

export class Journal {
  readonly #spec: GitSourceSpec;
  readonly #ports: GitPorts;
  #facts: SourceFacts;

  constructor(spec: GitSourceSpec, ports: GitPorts) {
    this.#spec = spec;
    this.#ports = ports;
    this.#facts = this.#remembered();
  }

  get facts(): SourceFacts {
    return this.#facts;
  }

  now(): number {
    return this.#ports.clock.now();
  }

  /** Never throws: what can't be kept is known until the next start. */
  save(facts: SourceFacts): void {
    this.#facts = facts;
    try {
      this.#ports.store.put(this.#spec.name, JSON.stringify(facts));
    } catch (error) {
      const reason = messageOf(error);
      this.#ports.log.warn({ source: this.#spec.name, reason }, "the state of a source can't be kept");
    }
  }

  /** As an event. */
  tell(type: "Normal" | "Warning", reason: string, message: string): void {
    const at = this.now();
    this.#ports.event({ object: `Source/git ${this.#spec.name}`, podUid: undefined, type, reason, message, at });
  }

  /** As a notification: how a revision came out, every time that this is otherwise than before. */
  outcome(revision: Revision, outcome: HistoryEntry["outcome"], message?: string): void {
    this.#notify(TOLD_AS[outcome], revision, message ?? `revision ${revisionText(revision)}: ${outcome}`);
  }

  /** As a notification: nothing can be fetched, or that is over. */
  fetchFailed(message: string): void {
    this.#notify("failed", undefined, message);
  }

  /** How it is with what the remote has is told anew. */
  fetchedAgain(): void {
    const { active, blocked, history } = this.#facts;
    if (blocked !== undefined) {
      this.outcome(blocked.revision, blocked.why === "refused" ? "Refused" : "RolledBack", blocked.message);
      return;
    }
    const latest = history.find(
      ({ revision, outcome }) => revision.oid === active?.revision.oid && outcome !== "Refused",
    );
    if (latest !== undefined) this.outcome(latest.revision, latest.outcome, latest.message);
  }

  logTime(what: string, { oid }: Revision, begun: number): void {
    const ms = Math.round((performance.now() - begun) * 10) / 10;
    this.#ports.log.debug({ source: this.#spec.name, revision: oid, ms }, what);
  }

  logFailure(error: unknown, what: string): void {
    this.#ports.log.error({ source: this.#spec.name, err: error }, what);
  }

  #notify(outcome: SyncOutcome, revision: Revision | undefined, message: string): void {
    this.#ports.onResult?.({
      source: this.#spec.name,
      outcome,
      revision: revision?.oid,
      running: this.#facts.active?.revision.oid,
      url: this.#spec.url,
      ref: refText(this.#spec),
      ...(revision !== undefined && { author: revision.author }),
      message,
      at: this.now(),
    });
  }

  #remembered(): SourceFacts {
    const { store, log } = this.#ports;
    const row = store.list().find(({ key }) => key === this.#spec.name);
    if (row === undefined) return NOTHING_KNOWN;
    try {
      return factsSchema.parse(JSON.parse(row.text));
    } catch (error) {
      const reason = messageOf(error);
      log.warn({ source: this.#spec.name, reason }, "what was kept of a source can't be read");
      return NOTHING_KNOWN;
    }
  }
}
