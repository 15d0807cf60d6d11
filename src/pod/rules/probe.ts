/**
 * When a probe runs and what its results mean (kubernetes/pkg/kubelet/prober/worker.go; kubernetes.io, "Configure
 * Liveness, Readiness and Startup Probes"). Pure.
 */
import type { Probe } from "../../manifest/index.ts";

export type ProbeKind = "startup" | "readiness" | "liveness";

/** The results that count; a prober's own error is none (worker.go: "throw away the result"). */
export type ProbeResult = "success" | "failure";

/** What a probe says of its container while it has not come to a result of its own. */
export const INITIAL: Readonly<Record<ProbeKind, ProbeResult | "unknown">> = {
  startup: "unknown",
  readiness: "failure",
  liveness: "success",
};

/** How often in a row the last result has come. */
export interface Tally {
  readonly last: ProbeResult | undefined;
  readonly run: number;
}

export const NO_RESULTS: Tally = { last: undefined, run: 0 };

export function counted({ last, run }: Tally, result: ProbeResult): Tally {
  return last === result ? { last, run: run + 1 } : { last: result, run: 1 };
}

/** @returns undefined below the threshold: then all stays as it was */
export function verdictOf(
  { last, run }: Tally,
  { failureThreshold, successThreshold }: Pick<Probe, "failureThreshold" | "successThreshold">,
): ProbeResult | undefined {
  if (last === undefined) return undefined;
  return run >= (last === "success" ? successThreshold : failureThreshold) ? last : undefined;
}

export interface FirstProbe {
  readonly probe: Pick<Probe, "initialDelaySeconds" | "periodSeconds">;
  /** When the container was started. */
  readonly startedAt: number;
  readonly now: number;
  /**
   * From 0 to 1, for a container that ran before we did: its part of a period is waited for, so that not all probes of
   * a host begin at once (worker.go does the same after a restart of the kubelet).
   */
  readonly spread: number;
}

/** When a probe runs first, ms since the epoch. */
export function firstProbeAt({ probe, startedAt, now, spread }: FirstProbe): number {
  const delayed = startedAt + (probe.initialDelaySeconds ?? 0) * 1000;
  return Math.max(delayed, now + spread * probe.periodSeconds * 1000);
}

/** When it runs next: a period after it last began, or as soon as it has ended. */
export function nextProbeAt({ periodSeconds }: Pick<Probe, "periodSeconds">, beganAt: number, now: number): number {
  return Math.max(now, beganAt + periodSeconds * 1000);
}

/** After a failure of a fatal probe it holds until the container's id changes (worker.go, onHold). */
export function holdsAfter(kind: ProbeKind, verdict: ProbeResult): boolean {
  switch (kind) {
    case "liveness":
      return verdict === "failure";
    case "startup":
      return true; // passed: it is not asked again; failed: the container is going to be killed
    case "readiness":
      return false;
  }
}

/** An unhealthy probe is told of when it begins, when it costs something, and then once a minute. */
export const TELL_AGAIN_MS = 60_000;

export function isToBeTold(tally: Tally, failureThreshold: number, sinceToldMs: number): boolean {
  return tally.run === 1 || tally.run === failureThreshold || sinceToldMs >= TELL_AGAIN_MS;
}
