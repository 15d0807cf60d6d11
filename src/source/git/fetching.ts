/** When a source is fetched, and what is known of the remote by that. */
import type { TimerHandle } from "../../system/clock.ts";
import { isGantryError, messageOf } from "../../system/errors.ts";
import type { GitPorts } from "./contract.ts";
import { fetched, fetchFailed } from "./facts.ts";
import type { Journal } from "./journal.ts";
import { LONGEST_TIMER_MS, nextFetchMs } from "./pace.ts";
import type { Fetched, Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";
import { isSuspended } from "./status.ts";
import { fetchSubmodules } from "./submodules.ts";

export interface FetchingOptions {
  readonly spec: GitSourceSpec;
  readonly ports: GitPorts;
  readonly journal: Journal;
  readonly repository: Repository;
  readonly folder: string;
  readonly signal: AbortSignal;
  /** It is due. */
  readonly onDue: () => void;
}

export class Fetching {
  readonly #options: FetchingOptions;
  #timer: TimerHandle | undefined;

  constructor(options: FetchingOptions) {
    this.#options = options;
  }

  /** Plans the next one. @param afterMs from now; undefined: when it is due */
  plan(afterMs: number | undefined): void {
    const { spec, ports, journal, signal } = this.#options;
    ports.clock.clearTimeout(this.#timer);
    if (signal.aborted || isSuspended(spec, journal.facts)) return;
    const due = afterMs ?? nextFetchMs(spec.intervalSeconds * 1000, journal.facts.failure?.count ?? 0, ports.random());
    this.#timer = ports.clock.setTimeout(() => this.#options.onDue(), Math.min(due, LONGEST_TIMER_MS));
  }

  stop(): void {
    this.#options.ports.clock.clearTimeout(this.#timer);
  }

  /** Asks the remote now. @throws GantryError source-failed, invalid-config, cancelled */
  async fetch(): Promise<Fetched> {
    const { spec, journal, repository, folder, signal } = this.#options;
    const known = journal.facts.failure?.message;
    try {
      const begun = performance.now();
      const came = await repository.fetch(spec, signal);
      const found = spec.submodules ? await fetchSubmodules(repository, came, spec, folder, signal) : came;
      journal.logTime("fetched", found.revision, begun);
      journal.save(fetched(journal.facts, found.revision, journal.now()));
      if (known === undefined) return found;
      journal.tell("Normal", "Fetched", "the repository can be fetched again");
      journal.fetchedAgain();
      return found;
    } catch (error) {
      if (signal.aborted) throw error;
      const message = messageOf(error);
      const hint = isGantryError(error) ? error.hint : undefined;
      journal.save(fetchFailed(journal.facts, message, hint, journal.now()));
      if (known === message) throw error;
      journal.tell("Warning", "FetchFailed", `${message}${hint === undefined ? "" : `. ${hint}`}`);
      journal.fetchFailed(message);
      throw error;
    }
  }
}
