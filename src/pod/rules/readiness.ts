/** Whether a container counts as started and as ready: decided here and nowhere else. */
import type { ContainerChecks } from "../../store/contract.ts";
import type { Run } from "./run.ts";
import type { ContainerKind } from "./slots.ts";

export interface Readiness {
  /** The startup probe passed (or there is none) and postStart is done. */
  readonly started: boolean;
  /** Started, and the readiness probe passes (or there is none). */
  readonly ready: boolean;
}

/** @param checks of the run, if it is live */
export function readinessOf(kind: ContainerKind, run: Run, checks: ContainerChecks | undefined): Readiness {
  switch (run.type) {
    case "live": {
      const started = checks === undefined || hasStarted(checks);
      // A plain init container is ready when it has done its work, not while it does it.
      return { started, ready: kind !== "init" && started && (checks?.ready ?? true) };
    }
    case "ended":
      return { started: false, ready: kind === "init" && run.exit.exitCode === 0 };
    case "due":
    case "backoff":
    case "created":
      return { started: false, ready: false };
  }
}

export function hasStarted({ postStarted, startup }: ContainerChecks): boolean {
  return postStarted && startup;
}
