import { GantryError } from "./errors.ts";

interface Flight<T, P> {
  readonly promise: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<(progress: P) => void>;
  waiting: number;
  last: P | undefined;
}

/** How long work goes on that nobody waits for, ms. */
const LINGER_MS = 100;

/**
 * Work that several may want at once is done once. Each may stop waiting on its own; the work is called off when nobody
 * waits for it any more.
 */
export class SharedWork<T, P = never> {
  readonly #flights = new Map<string, Flight<T, P>>();
  /** Those that were called off and have not ended yet, too. */
  readonly #all = new Set<Flight<T, P>>();

  /**
   * @param key the same work has the same key
   * @param onProgress told at once what was last reported, then everything that is
   * @throws what `work` throws; cancelled
   */
  async run(
    key: string,
    work: (signal: AbortSignal, report: (progress: P) => void) => Promise<T>,
    signal: AbortSignal,
    onProgress?: (progress: P) => void,
  ): Promise<T> {
    if (signal.aborted) throw cancelled();
    const flight = this.#flights.get(key) ?? this.#begin(key, work);
    flight.waiting += 1;
    const listener = (progress: P): void => onProgress?.(progress);
    flight.listeners.add(listener);
    if (flight.last !== undefined) listener(flight.last);
    const { promise: aborted, reject } = Promise.withResolvers<never>();
    const onAbort = (): void => reject(cancelled());
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([flight.promise, aborted]);
    } finally {
      signal.removeEventListener("abort", onAbort);
      flight.listeners.delete(listener);
      flight.waiting -= 1;
      if (flight.waiting === 0 && this.#all.has(flight)) {
        // Whoever asked may ask again at once (a pod whose labels changed): that is no reason to begin anew.
        setTimeout(() => this.#abandon(key, flight), LINGER_MS);
      }
    }
  }

  #abandon(key: string, flight: Flight<T, P>): void {
    if (flight.waiting > 0) return;
    // One that comes now begins anew: this flight is on its way out.
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
    flight.abort.abort();
  }

  /** Calls off everything, and waits for its end. */
  async close(): Promise<void> {
    for (const { abort } of this.#all) abort.abort();
    await Promise.allSettled([...this.#all].map(({ promise }) => promise));
  }

  #begin(key: string, work: (signal: AbortSignal, report: (progress: P) => void) => Promise<T>): Flight<T, P> {
    const abort = new AbortController();
    const listeners = new Set<(progress: P) => void>();
    const report = (progress: P): void => {
      flight.last = progress;
      for (const listener of listeners) listener(progress);
    };
    const promise = Promise.resolve().then(() => work(abort.signal, report));
    const flight: Flight<T, P> = { promise, abort, listeners, waiting: 0, last: undefined };
    this.#flights.set(key, flight);
    this.#all.add(flight);
    const end = (): void => {
      this.#all.delete(flight);
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    };
    promise.then(end, end);
    return flight;
  }
}

function cancelled(): GantryError {
  return new GantryError("cancelled", "waiting for it was cancelled", { kind: "system" });
}
