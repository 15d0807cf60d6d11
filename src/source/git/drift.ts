/** What was changed by hand behind a source's back, and was put back. */
import type { Journal } from "./journal.ts";

export interface SeenPod {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly version: string;
  /** Its sandbox's id. */
  readonly sandbox: string | undefined;
  /** Containers whose last run was ended by somebody else, and which of their runs that was. */
  readonly ended: readonly { readonly container: string; readonly containerId: string; readonly how: string }[];
}

export class Drift {
  readonly #journal: Journal;
  readonly #seen = new Map<string, SeenPod>();

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /** A pod as it is now; what is first seen of it says nothing. */
  seen(pod: SeenPod): void {
    const before = this.#seen.get(pod.key);
    if (pod.sandbox === undefined && before !== undefined) return;
    this.#seen.set(pod.key, pod);
    // Another version has another sandbox because the repository asks for it.
    if (before === undefined || before.version !== pod.version) return;
    if (before.sandbox !== undefined && before.sandbox !== pod.sandbox) {
      this.report(`what ran of pod ${pod.key} was taken away by hand, or died; it was put back`);
      return;
    }
    for (const { container, containerId, how } of pod.ended) {
      if (before.ended.some((one) => one.containerId === containerId)) continue;
      this.report(`container ${container} of pod ${pod.key} ${how}; it is started again`);
    }
  }

  gone(key: string): void {
    this.#seen.delete(key);
  }

  /** It was put back already. */
  report(message: string): void {
    this.#journal.save({ ...this.#journal.facts, drift: { at: this.#journal.now(), message } });
    this.#journal.tell("Warning", "DriftCorrected", message);
  }
}
