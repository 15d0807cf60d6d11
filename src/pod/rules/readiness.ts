/**
 * Whether a container counts as started and as ready: decided here and nowhere else. Probes and hooks come in
 * through `checks`, which says what they last found; a container without any is ready as soon as it runs.
 */

import type { Run } from "./run.ts";
import type { ContainerKind } from "./slots.ts";

export interface Checks {
  /** The startup probe passed and postStart is done. */
  readonly started: boolean;
  /** The readiness probe passes. */
  readonly ready: boolean;
}

const NO_CHECKS: Checks = { started: true, ready: true };

export function readinessOf(kind: ContainerKind, run: Run, checks: Checks = NO_CHECKS): Checks {
  switch (run.type) {
    case "live":
      // A plain init container is ready when it has done its work, not while it does it.
      return { started: checks.started, ready: kind !== "init" && checks.started && checks.ready };
    case "ended":
      return { started: false, ready: kind === "init" && run.exit.exitCode === 0 };
    case "due":
    case "backoff":
    case "created":
      return { started: false, ready: false };
  }
}
