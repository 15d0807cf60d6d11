import { EXIT } from "./exit.ts";

/** After this many ms a command that was interrupted and has not tidied up is ended anyway. */
const TIDY_UP_MS = 2000;

export interface Interruption {
  readonly signal: AbortSignal;
  /** 130 after Ctrl-C, 143 after SIGTERM: what shells report. */
  exitCode(): number;
  /** For a command that handles signals by itself (the daemon). */
  release(): void;
}

/** Turns the first Ctrl-C or SIGTERM into an abort. A second one, or a command that is slow to give up, ends at once. */
export function interruption(): Interruption {
  const abort = new AbortController();
  let code: number = EXIT.interrupted;
  let lastCall: NodeJS.Timeout | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    code = name === "SIGINT" ? EXIT.interrupted : 143;
    if (abort.signal.aborted) process.exit(code);
    abort.abort();
    lastCall = setTimeout(() => process.exit(code), TIDY_UP_MS).unref();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    signal: abort.signal,
    exitCode: () => code,
    release() {
      clearTimeout(lastCall);
      process.removeListener("SIGINT", onSignal);
      process.removeListener("SIGTERM", onSignal);
    },
  };
}
