export interface StopSignal {
  /** The first SIGINT or SIGTERM. */
  readonly received: Promise<NodeJS.Signals>;
  /** Aborts with it: for work that need not be finished then. */
  readonly signal: AbortSignal;
}

/**
 * The first SIGINT or SIGTERM asks for an orderly end. A second one does not wait for it: the process ends at once
 * and leaves the pods as they are, for the next daemon to take over.
 */
export function stopSignal(): StopSignal {
  const controller = new AbortController();
  const received = new Promise<NodeJS.Signals>((resolve) => {
    const onSignal = (signal: NodeJS.Signals): void => {
      if (controller.signal.aborted) process.exit(128 + (signal === "SIGINT" ? 2 : 15));
      controller.abort();
      resolve(signal);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
  return { received, signal: controller.signal };
}
