import type { AgentLink } from "./link.ts";

const PING_MS = 1000;
/** A busy host makes a healthy guest slow: silence is told early and acted upon late. */
export const SILENT_MS = 2000;
const DEAD_MS = 15_000;

export interface WatchdogOptions {
  /** The agent has been silent for SILENT_MS, or has answered again. */
  readonly onSilence: (silent: boolean) => void;
  /** It will not answer any more. */
  readonly onDead: () => void;
}

/** Asks an agent once a second whether it is there, until its link is lost. */
export function watchAgent(link: AgentLink, { onSilence, onDead }: WatchdogOptions): void {
  let answered = performance.now();
  let asking = false;
  let silent = false;
  let asleep = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    // We were held up ourselves (a suspended host, a stopped process): that says nothing about the agent.
    if (now - asleep > 2 * PING_MS) answered = now;
    asleep = now;
    if (!asking) {
      asking = true;
      link.request({ type: "ping", body: null }, DEAD_MS).then(
        () => {
          asking = false;
          answered = performance.now();
          if (silent) onSilence(false);
          silent = false;
        },
        () => {},
      );
    }
    if (now - answered > SILENT_MS && !silent) {
      silent = true;
      onSilence(true);
    }
    if (now - answered > DEAD_MS) onDead();
  }, PING_MS);
  timer.unref();
  void link.lost.then(() => clearInterval(timer));
}
