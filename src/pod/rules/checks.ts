/** What probes and hooks have found of a run so far, and which of them are to go on. Pure. */
import type { ContainerChecks, ContainerFacts, FatalCheck } from "../../store/contract.ts";
import type { ProbeKind, ProbeResult } from "./probe.ts";
import { INITIAL } from "./probe.ts";
import type { Slot } from "./slots.ts";

/** What was found of the run with this id; at its beginning nothing, so what its spec asks for is yet to come. */
export function checksOf(
  { spec, kind }: Pick<Slot, "spec" | "kind">,
  containerId: string,
  facts: Pick<ContainerFacts, "checks"> | undefined,
): ContainerChecks {
  if (facts?.checks?.containerId === containerId) return facts.checks;
  // Plain init containers have neither hooks nor probes; validation says so.
  const plain = kind === "init";
  return {
    containerId,
    postStarted: plain || spec.lifecycle?.postStart === undefined,
    startup: plain || spec.startupProbe === undefined,
    ready: plain || spec.readinessProbe === undefined || INITIAL.readiness === "success",
    changedAt: undefined,
    failure: undefined,
  };
}

/** True when somebody has to look after it while it runs. */
export function needsChecks({ spec, kind }: Pick<Slot, "spec" | "kind">): boolean {
  if (kind === "init") return false;
  const { startupProbe, readinessProbe, livenessProbe, lifecycle } = spec;
  return [startupProbe, readinessProbe, livenessProbe, lifecycle?.postStart].some((check) => check !== undefined);
}

export type Check = "postStart" | ProbeKind;

/**
 * What goes on now: postStart first; while it runs, the container counts as not running yet, so nothing is probed.
 * The startup probe gates the others. While the pod is being deleted only readiness goes on (worker.go).
 */
export function activeChecks(
  { spec }: Pick<Slot, "spec">,
  checks: ContainerChecks,
  deleting: boolean,
): readonly Check[] {
  const readiness: readonly Check[] = spec.readinessProbe === undefined ? [] : ["readiness"];
  if (!checks.postStarted) return deleting || checks.failure !== undefined ? [] : ["postStart"];
  if (!checks.startup) return deleting || checks.failure !== undefined ? [] : ["startup"];
  if (deleting || checks.failure !== undefined || spec.livenessProbe === undefined) return readiness;
  return [...readiness, "liveness"];
}

export interface Finding {
  readonly containerId: string;
  readonly name: string;
  readonly check: Check;
  readonly result: ProbeResult;
  readonly message: string;
}

/** @returns the same object when nothing is new */
export function checksAfter(
  checks: ContainerChecks,
  { check, result, message }: Finding,
  now: number,
): ContainerChecks {
  const passed = result === "success";
  switch (check) {
    case "postStart":
      if (!passed) return failed(checks, check, message);
      return checks.postStarted ? checks : { ...checks, postStarted: true, changedAt: now };
    case "startup":
      if (!passed) return failed(checks, check, message);
      return checks.startup ? checks : { ...checks, startup: true, changedAt: now };
    case "liveness":
      return passed ? checks : failed(checks, check, message);
    case "readiness":
      return checks.ready === passed ? checks : { ...checks, ready: passed, changedAt: now };
  }
}

function failed(checks: ContainerChecks, check: FatalCheck, message: string): ContainerChecks {
  return checks.failure === undefined ? { ...checks, failure: { check, message } } : checks;
}

/** How long a container that failed may take to end: the probe's own word, else the pod's. ms */
export function graceAfter({ spec }: Pick<Slot, "spec">, check: FatalCheck, podGraceMs: number): number {
  const own = check === "postStart" ? undefined : check === "startup" ? spec.startupProbe : spec.livenessProbe;
  const seconds = own?.terminationGracePeriodSeconds;
  return seconds === undefined ? podGraceMs : seconds * 1000;
}
