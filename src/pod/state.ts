/** What the machine's context says to the rest of Gantry. Pure. */
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { PodStage, PodState } from "./contract.ts";
import { outlookIn, type PodContext, slotsIn } from "./machine/context.ts";
import { containerStates } from "./rules/container-state.ts";
import { currentSandbox } from "./rules/world.ts";

const STATES = [
  "routing",
  "retrying",
  "preparing",
  "sandbox",
  "resetting",
  "running",
  "completing",
  "completed",
  "stopping",
  "removed",
] as const;

/** States of the machine as it names them, without what is nested in them. */
export type MachineState = (typeof STATES)[number];

/** The outermost state of a snapshot's value. */
export function machineState(value: string | object): MachineState {
  return STATES.find((state) => (typeof value === "string" ? value === state : state in value)) ?? "routing";
}

export function podState(context: PodContext, state: MachineState, now: number): PodState {
  const outlook = outlookIn(context, now);
  const sandbox = currentSandbox(context.known);
  const { metadata } = context.desired.pod;
  return {
    uid: context.pod.uid,
    desired: context.desired,
    createdAt: context.pod.createdAt,
    stage: stageOf(state, outlook.initialized),
    problem: context.problem ?? sandboxProblem(context, sandbox),
    failure: context.pod.failure,
    deletionDeadline: context.pod.deletionDeadline,
    ...(context.released ? { released: true } : {}),
    sandbox: sandbox && { id: sandbox.id, createdAt: sandbox.createdAt, ips: sandbox.ips, detail: sandbox.detail },
    containers: containerStates({
      podName: `${metadata.name}_${metadata.namespace}(${context.pod.uid})`,
      slots: slotsIn(context),
      facts: context.facts,
      known: context.known,
      outlook,
      holds: context.holds,
      pulling: context.pulling,
      over: outlook.complete || context.pod.failure !== undefined || context.pod.deletionDeadline !== undefined,
      problem: context.problem?.message,
    }),
  };
}

/** One that is not ready is being replaced, so that is all there is to say of it. */
function sandboxProblem({ known }: PodContext, current: ObservedSandbox | undefined): PodState["problem"] {
  const message = (current ?? known[0])?.problem;
  if (message === undefined) return undefined;
  return { reason: current === undefined ? "SandboxFailed" : "SandboxNotResponding", message };
}

function stageOf(state: MachineState, initialized: boolean): PodStage {
  switch (state) {
    case "routing":
    case "retrying":
    case "preparing":
      return "preparing";
    case "sandbox":
    case "resetting":
      return "sandbox";
    case "running":
    case "completing":
      return initialized ? "running" : "initializing";
    case "completed":
    case "stopping":
    case "removed":
      return state;
  }
}
