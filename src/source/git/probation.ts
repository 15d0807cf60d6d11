/** Watches over the pods of a revision that came into force: its waves, and whether it may stay. */
import type { TimerHandle } from "../../system/clock.ts";
import { revisionText } from "./commit.ts";
import { wavesOf } from "./content.ts";
import type { GitPorts } from "./contract.ts";
import { atWave, becameHealthy, stayedDegraded } from "./facts.ts";
import { judge, waveIsDone } from "./health.ts";
import type { ContentInForce } from "./in-force.ts";
import type { Journal } from "./journal.ts";
import { LONGEST_TIMER_MS } from "./pace.ts";

/** Between two looks at pods nothing of which changes. ms */
const SHORTEST_WAIT_MS = 20;

export interface ProbationOptions {
  readonly ports: GitPorts;
  readonly journal: Journal;
  readonly inForce: ContentInForce;
  readonly signal: AbortSignal;
  /** Runs the work after whatever else changes what is in force. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
}

export class Probation {
  readonly #options: ProbationOptions;
  #timer: TimerHandle | undefined;
  #queued = false;

  constructor(options: ProbationOptions) {
    this.#options = options;
  }

  /** Something about the pods is otherwise now. Cheap while no revision is on probation. */
  podsChanged(): void {
    const { journal, signal, inTurn } = this.#options;
    if (this.#queued || signal.aborted) return;
    if (journal.facts.trying === undefined && journal.facts.rollout === undefined) return;
    this.#queued = true;
    inTurn(async () => {
      this.#queued = false;
      await this.look();
    }).catch((error: unknown) => {
      if (!signal.aborted) journal.logFailure(error, "looking at the pods of a source failed");
    });
  }

  /** Begins the next wave, ends the probation, or goes back; call it in turn. */
  async look(): Promise<void> {
    const { ports, journal, inForce, signal } = this.#options;
    for (;;) {
      const { rollout, trying, active } = journal.facts;
      if (signal.aborted || active === undefined) return;
      const pods = inForce.pods();
      if (rollout !== undefined && waveIsDone(pods, rollout.wave)) {
        const next = wavesOf(inForce.content).find((wave) => wave > rollout.wave);
        journal.save(atWave(journal.facts, next));
        await inForce.atWave(next);
        continue;
      }
      if (trying === undefined) return;
      const judgement = judge(trying, pods, journal.now(), ports.settleMs);
      if (judgement.type === "failed") return await this.#failed(judgement.message);
      if (judgement.type === "healthy" && rollout === undefined) {
        journal.save(becameHealthy(journal.facts));
        const text = `all pods of revision ${revisionText(active.revision)} are ready`;
        journal.tell("Normal", "Healthy", text);
        journal.outcome(active.revision, "Healthy", text);
        return;
      }
      this.#lookAgain(judgement.type === "wait" ? judgement.afterMs : ports.settleMs);
      return;
    }
  }

  stop(): void {
    this.#options.ports.clock.clearTimeout(this.#timer);
  }

  #lookAgain(afterMs: number): void {
    const { clock } = this.#options.ports;
    clock.clearTimeout(this.#timer);
    const due = Math.min(LONGEST_TIMER_MS, Math.max(SHORTEST_WAIT_MS, afterMs));
    this.#timer = clock.setTimeout(() => this.podsChanged(), due);
  }

  async #failed(why: string): Promise<void> {
    const { journal, inForce } = this.#options;
    const { active, healthy } = journal.facts;
    if (active === undefined) return;
    const what = `revision ${revisionText(active.revision)}`;
    if (healthy !== undefined && healthy.revision.oid !== active.revision.oid)
      return await inForce.goBack(healthy, "unhealthy", `${what} was rolled back: ${why}`);
    journal.save(stayedDegraded(journal.facts, why));
    journal.tell("Warning", "Degraded", `${what}: ${why}; there is no healthy one to go back to`);
    journal.outcome(active.revision, "Degraded", why);
  }
}
