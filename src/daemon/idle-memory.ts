import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { Clock, TimerHandle } from "../system/clock.ts";

/** After this long without a change the burst is over. ms */
const QUIET_MS = 5_000;

/**
 * Gives memory back after a burst. V8 collects when it allocates, so a daemon that has just started a hundred pods and
 * then has nothing to do would keep the garbage of the burst for as long as it stays idle.
 * @returns `busy` to be called at every change, and `end`
 */
export function keepMemorySmall(clock: Clock): { busy(): void; end(): void } {
  setFlagsFromString("--expose-gc");
  const collect: unknown = runInNewContext("gc");
  let timer: TimerHandle | undefined;
  return {
    busy() {
      clock.clearTimeout(timer);
      timer = clock.setTimeout(() => {
        if (typeof collect === "function") collect();
      }, QUIET_MS);
    },
    end: () => clock.clearTimeout(timer),
  };
}
