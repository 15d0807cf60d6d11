/** Lets one task at a time through per key. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #waiting = new Map<string, number>();

  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    this.#waiting.set(key, (this.#waiting.get(key) ?? 0) + 1);
    const guarded = (): Promise<T> => task().finally(() => this.#leave(key));
    const result = (this.#tails.get(key) ?? Promise.resolve()).then(guarded, guarded);
    this.#tails.set(key, result);
    return result;
  }

  /** Keys with a task that runs or waits. */
  busy(): ReadonlySet<string> {
    return new Set(this.#waiting.keys());
  }

  /** Before the task's promise settles, so that whoever waited for it finds the key free. */
  #leave(key: string): void {
    const left = (this.#waiting.get(key) ?? 1) - 1;
    if (left > 0) {
      this.#waiting.set(key, left);
      return;
    }
    this.#waiting.delete(key);
    this.#tails.delete(key);
  }
}
