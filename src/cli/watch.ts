import type { WatchEvent, WatchOptions } from "../api/client.ts";
import { GantryError, isGantryError } from "../system/errors.ts";

type Open<T> = (options: WatchOptions) => AsyncGenerator<WatchEvent<T>, void, undefined>;

/**
 * The changes that a watch reports, until `signal` is aborted. When the daemon has forgotten the version to go on
 * from, it starts over with everything there is.
 *
 * @throws GantryError `daemon-unreachable` when the daemon stops; `cancelled` when `signal` is aborted
 */
export async function* followWatch<T>(
  open: Open<T>,
  options: WatchOptions,
  signal: AbortSignal,
): AsyncGenerator<WatchEvent<T>> {
  let current: WatchOptions = { ...options, signal };
  for (;;) {
    try {
      yield* open(current);
    } catch (error) {
      if (!isGantryError(error, "conflict") || error.details["reason"] !== "Expired") throw error;
      const { resourceVersion: _expired, ...rest } = current;
      current = rest;
      continue;
    }
    if (signal.aborted) throw new GantryError("cancelled", "interrupted", { kind: "system" });
    throw new GantryError("daemon-unreachable", "the daemon has stopped", {
      hint: "Start it again with 'gantry daemon'.",
    });
  }
}
