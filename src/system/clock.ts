/** Time as a dependency, so that tests can drive it. All times are milliseconds. */
export interface Clock {
  /** Wall clock, ms since the epoch. */
  now(): number;
  /** Calls `fn` once after `ms`. The timer keeps no process alive by itself. */
  setTimeout(fn: () => void, ms: number): TimerHandle;
  clearTimeout(timer: TimerHandle): void;
  /** What this clock said when the host's said `ms`: for times that others have written down, such as those of files. */
  ofHost(ms: number): number;
}

/** Opaque; only good for `clearTimeout` of the clock that made it. */
export type TimerHandle = unknown;

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: (timer) => clearTimeout(timer as NodeJS.Timeout),
  ofHost: (ms) => ms,
};
