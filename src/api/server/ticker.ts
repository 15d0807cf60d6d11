import type { Clock, TimerHandle } from "../../system/clock.ts";

/** Calls all who listen at the same time again and again: one timer, however many they are, and none for nobody. */
export class Ticker {
  readonly #clock: Clock;
  readonly #intervalMs: number;
  readonly #listeners = new Set<() => void>();
  #timer: TimerHandle;

  constructor(clock: Clock, intervalMs: number) {
    this.#clock = clock;
    this.#intervalMs = intervalMs;
  }

  /** Returns the function that ends it. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    if (this.#listeners.size === 1) this.#wait();
    return () => {
      this.#listeners.delete(listener);
      if (this.#listeners.size === 0) this.#clock.clearTimeout(this.#timer);
    };
  }

  #wait(): void {
    this.#timer = this.#clock.setTimeout(() => {
      this.#wait();
      for (const listener of this.#listeners) listener();
    }, this.#intervalMs);
  }
}
