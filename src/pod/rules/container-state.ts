/** What a pod's state says about each of its containers. */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerChecks, ContainerFacts } from "../../store/contract.ts";
import type { ContainerState } from "../contract.ts";
import { SIGNED_BY_LABEL } from "../labels.ts";
import { checksOf } from "./checks.ts";
import type { FactsByName } from "./exits.ts";
import type { Outlook } from "./outlook.ts";
import { readinessOf } from "./readiness.ts";
import type { Run } from "./run.ts";
import type { Slot } from "./slots.ts";
import { terminationOf } from "./termination.ts";

/** Why a container that is due does not start. */
export interface Hold {
  readonly reason: string;
  readonly message: string;
  /** When it is tried again, ms since the epoch. */
  readonly until: number;
  /** How often in a row it has failed. */
  readonly failures: number;
}

export interface ContainerStateInput {
  readonly podName: string;
  readonly slots: readonly Slot[];
  readonly facts: FactsByName;
  readonly known: readonly ObservedSandbox[];
  readonly outlook: Outlook;
  readonly holds: Readonly<Record<string, Hold>>;
  readonly pulling: Readonly<Record<string, string>>;
  /** Nothing is going to be started any more: what ended stays ended. */
  readonly over: boolean;
  /** What keeps the pod as a whole, shown by every container that waits. */
  readonly problem: string | undefined;
}

export function containerStates(input: ContainerStateInput): ContainerState[] {
  return input.slots.map((slot): ContainerState => {
    const facts = input.facts[slot.name];
    const run = finalRun(input.outlook.runs.get(slot.name) ?? { type: "due" }, facts, input.over);
    const checks = run.type === "live" ? checksOf(slot, run.container.id, facts) : undefined;
    const state = stateOf(slot, run, checks, input);
    const last = run.type === "ended" ? facts?.previousExit : facts?.lastExit;
    const imageDigest =
      run.type === "live" || run.type === "created" ? run.container.imageDigest : facts?.lastExit?.imageDigest;
    return {
      name: slot.name,
      kind: slot.kind,
      image: slot.spec.image,
      imageDigest: imageDigest === "" ? undefined : imageDigest,
      signers: signersOf(run),
      restartCount: facts?.restartCount ?? 0,
      ...readinessOf(slot.kind, run, checks),
      checkedAt: checks?.changedAt,
      ...(run.type === "live" && run.outdated ? { outdated: true } : {}),
      state,
      lastTermination: last === undefined ? undefined : terminationOf(last),
    };
  });
}

function signersOf(run: Run): string[] {
  const signers = run.type === "live" || run.type === "created" ? run.container.labels[SIGNED_BY_LABEL] : undefined;
  return signers?.split("\n") ?? [];
}

/** In a pod that is over a container that would have been restarted has just ended. */
function finalRun(run: Run, facts: ContainerFacts | undefined, over: boolean): Run {
  const waits = run.type === "due" || run.type === "backoff";
  return over && waits && facts?.lastExit !== undefined ? { type: "ended", exit: facts.lastExit } : run;
}

function stateOf(
  slot: Slot,
  run: Run,
  checks: ContainerChecks | undefined,
  input: ContainerStateInput,
): ContainerState["state"] {
  switch (run.type) {
    case "live": {
      const containerId = run.container.id;
      // "The Container's status is not set to RUNNING until the postStart handler completes" (kubernetes.io, "Attach
      // Handlers to Container Lifecycle Events").
      if (checks?.postStarted === false && !input.over) {
        return checks.failure === undefined
          ? { type: "waiting", reason: "ContainerCreating", containerId }
          : { type: "waiting", reason: "PostStartHookError", message: checks.failure.message, containerId };
      }
      return { type: "running", containerId, startedAt: run.container.startedAt ?? run.container.createdAt };
    }
    case "ended":
      return { type: "terminated", ...terminationOf(run.exit) };
    case "backoff": {
      const wait = inWords(run.until - run.exit.finishedAt);
      const text = `back-off ${wait} restarting failed container=${slot.name} pod=${input.podName}`;
      if (run.exit.reason === "StartError") {
        const message = `${run.exit.message ?? "it could not be started"}; ${text}`;
        return { type: "waiting", reason: "RunContainerError", message };
      }
      if (run.exit.killedFor?.check === "postStart")
        return { type: "waiting", reason: "PostStartHookError", message: `${run.exit.killedFor.message}; ${text}` };
      return { type: "waiting", reason: "CrashLoopBackOff", message: text };
    }
    case "created":
    case "due": {
      const hold = input.holds[slot.name];
      const pulling = input.pulling[slot.name];
      if (hold !== undefined) return { type: "waiting", reason: hold.reason, message: pulling ?? hold.message };
      const reason =
        slot.kind === "main" && !input.outlook.initialized && hasInit(input.slots)
          ? "PodInitializing"
          : "ContainerCreating";
      const message = pulling ?? input.problem;
      return message === undefined ? { type: "waiting", reason } : { type: "waiting", reason, message };
    }
  }
}

function hasInit(slots: readonly Slot[]): boolean {
  return slots.some(({ kind }) => kind !== "main");
}

/** As Go writes a duration, and so the kubelet: 40s, 1m20s. @param ms */
function inWords(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
