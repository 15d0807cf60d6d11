/** How often an agent is asked whether it is there. */
const PING_MS = 600;
/**
 * So that silence is told of within 2 s, whenever it begins. A busy host makes a healthy guest slow: silence is told
 * early and acted upon late.
 */
export const SILENT_MS = 1400;
const DEAD_MS = 15_000;

export interface WatchdogOptions {
  /** The agent has been silent for SILENT_MS, or has answered again. */
  readonly onSilence: (silent: boolean) => void;
  /** It will not answer any more. Called once. */
  readonly onDead: () => void;
}

/**
 * Has an agent asked again and again, until `stop` is called, and says when it does not answer: because it is stuck,
 * or because nobody can even connect to it.
 * @param ask resolves when it has answered; rejects, or never ends, when it has not
 * @returns stop
 */
export function watchAgent(ask: (timeoutMs: number) => Promise<unknown>, options: WatchdogOptions): () => void {
  let answered = performance.now();
  let asleep = answered;
  let asking = false;
  let silent = false;
  const heard = (): void => {
    answered = performance.now();
    if (silent) options.onSilence(false);
    silent = false;
  };
  const timer = setInterval(() => {
    const now = performance.now();
    // We were held up ourselves (a suspended host, a stopped process): that says nothing about the agent.
    if (now - asleep > 3 * PING_MS) answered = now;
    asleep = now;
    if (!asking) {
      asking = true;
      ask(DEAD_MS)
        .then(heard, () => {})
        .finally(() => {
          asking = false;
        });
    }
    if (now - answered > SILENT_MS && !silent) {
      silent = true;
      options.onSilence(true);
    }
    if (now - answered > DEAD_MS) {
      stop();
      options.onDead();
    }
  }, PING_MS);
  timer.unref();
  const stop = (): void => clearInterval(timer);
  return stop;
}
