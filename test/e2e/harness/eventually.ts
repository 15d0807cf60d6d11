import { messageOf } from "../../../src/system/errors.ts";

export interface EventuallyOptions {
  /** Default 60,000 ms: far more than anything takes, so that a slow machine fails no test. */
  readonly deadlineMs?: number;
  /** Default 20 ms: how long to wait before it is looked at again. More for what costs more, as a process does. */
  readonly everyMs?: number;
  /** What is waited for, for the error. */
  readonly what?: string;
  /** Added to the error when the deadline passes: the state of things then. */
  readonly explain?: () => string | Promise<string>;
}

/**
 * Calls `probe` again and again until it gives back something other than undefined or false; what it throws means "not
 * yet", too.
 * @throws Error with the last failure once the deadline has passed
 */
export async function eventually<T>(
  probe: () => T | undefined | false | Promise<T | undefined | false>,
  options: EventuallyOptions = {},
): Promise<T> {
  const { deadlineMs = 60_000, everyMs = 20, what = "the condition" } = options;
  const deadline = Date.now() + deadlineMs;
  let last = "never true";
  for (;;) {
    try {
      const value = await probe();
      if (value !== undefined && value !== false) return value;
      last = "never true";
    } catch (error) {
      last = causesOf(error);
    }
    if (Date.now() > deadline) {
      const state = options.explain === undefined ? "" : `\n${await options.explain()}`;
      throw new Error(`${what} did not come about in ${deadlineMs} ms: ${last}${state}`);
    }
    await new Promise((resolve) => setTimeout(resolve, everyMs));
  }
}

/** `fetch` and others only say what went wrong in the cause. */
function causesOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  return cause === undefined ? messageOf(error) : `${messageOf(error)}: ${causesOf(cause)}`;
}
