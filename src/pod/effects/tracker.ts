/** Knows the work of one pod that has not come to its end, also where nobody waits for it any more. */
export class Tracker {
  readonly #chains = new Map<string, Promise<unknown>>();

  /** Runs `work` after all work of the same name before it has ended, one way or the other. */
  run<T>(name: string, work: () => Promise<T>): Promise<T> {
    const before = this.#chains.get(name);
    const result = before === undefined ? work() : before.then(work);
    const end = result.catch(() => undefined);
    this.#chains.set(name, end);
    void end.then(() => {
      if (this.#chains.get(name) === end) this.#chains.delete(name);
    });
    return result;
  }

  /** Resolves when everything that was begun before this call has ended. */
  async idle(): Promise<void> {
    await Promise.all(this.#chains.values());
  }
}
