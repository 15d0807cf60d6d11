import type { HealthCheck } from "../api/contract.ts";
import type { Recorder } from "../metrics/recorder.ts";
import { messageOf } from "../system/errors.ts";

/** A comparison takes 0.1 s; one that is so much overdue has hung. ms */
const OVERDUE_MS = 120_000;

export interface HealthParts {
  readonly recorder: Recorder;
  /** ms between two full comparisons. */
  readonly intervalMs: number;
  readonly startedAt: number;
  readonly now: () => number;
  readonly held: () => readonly string[];
  /** Throws where the state can't be read. */
  readonly readState: () => unknown;
}

/** What /livez and /readyz look at. */
export function daemonHealth(parts: HealthParts): () => readonly HealthCheck[] {
  return () => [
    { name: "reconcile", scope: "live", problem: reconcileProblem(parts) },
    { name: "state", scope: "live", problem: stateProblem(parts) },
    { name: "manifests", scope: "ready", problem: parts.held()[0] },
  ];
}

function reconcileProblem({ recorder, intervalMs, startedAt, now }: HealthParts): string | undefined {
  const silentMs = now() - (recorder.lastComparison() ?? startedAt);
  if (silentMs <= intervalMs + OVERDUE_MS) return undefined;
  return `no full comparison for ${Math.round(silentMs / 1000)} s`;
}

function stateProblem({ readState }: HealthParts): string | undefined {
  try {
    readState();
    return undefined;
  } catch (error) {
    return messageOf(error);
  }
}
