/**
 * The conditions of a pod. When each came to be what it is follows from facts (when the pod and its sandbox were
 * made, when containers started and ended), so it is the same whoever asks, whenever, and after a restart of ours.
 */

import { timestamp } from "../../system/timestamp.ts";
import type { ContainerState, PodState } from "../contract.ts";
import { phaseOf } from "./phase.ts";

export interface PodCondition {
  readonly type:
    | "PodScheduled"
    | "PodReadyToStartContainers"
    | "Initialized"
    | "ContainersReady"
    | "Ready"
    | "DisruptionTarget";
  readonly status: "True" | "False";
  /** RFC 3339 */
  readonly lastTransitionTime: string;
  readonly reason?: string;
  readonly message?: string;
}

/** Of a pod whose claim is not there, is another pod's, or asks for more than the disk has. */
export const UNSCHEDULABLE = "Unschedulable";

interface Why {
  readonly reason: string;
  readonly message?: string;
}

export function conditionsOf(pod: PodState): PodCondition[] {
  const { createdAt, sandbox } = pod;
  const init = pod.containers.filter(({ kind }) => kind !== "main");
  const ended = latest(createdAt, pod.containers.map(endOf));
  const notInitialized = init.filter(({ kind, started, ready }) => !(kind === "init" ? ready : started));
  const initialized = notInitialized.length === 0 || hasBegun(pod);
  const counted = pod.containers.filter(({ kind }) => kind !== "init");
  const unready = counted.filter(({ ready }) => !ready);
  const ready = unready.length === 0 && pod.failure === undefined;
  const readyAt = latest(sandbox?.createdAt ?? createdAt, [...counted.map(startOf), ...counted.map(checkedAt)]);
  const unreadyAt = latest(ended, unready.map(checkedAt));
  const why = ready ? undefined : notReady(pod, unready);
  return [
    pod.problem?.reason === UNSCHEDULABLE
      ? condition("PodScheduled", false, createdAt, pod.problem)
      : condition("PodScheduled", true, createdAt),
    condition("PodReadyToStartContainers", sandbox !== undefined, sandbox?.createdAt ?? ended),
    condition(
      "Initialized",
      initialized,
      latest(createdAt, init.map(passedAt)),
      initialized ? undefined : incomplete("ContainersNotInitialized", "incomplete", notInitialized),
    ),
    condition("ContainersReady", ready, ready ? readyAt : unreadyAt, why),
    condition("Ready", ready, ready ? readyAt : unreadyAt, why),
    ...(pod.failure?.reason === "Evicted"
      ? [condition("DisruptionTarget", true, ended, { reason: "TerminationByKubelet", message: pod.failure.message })]
      : []),
  ];
}

/** Once a main has run, a sidecar that is down for a moment does not undo the initialization. */
function hasBegun({ containers }: PodState): boolean {
  const plain = containers.filter(({ kind }) => kind === "init");
  return (
    plain.every(({ ready }) => ready) &&
    containers.some(({ kind, state }) => kind === "main" && state.type !== "waiting")
  );
}

function notReady(pod: PodState, unready: readonly ContainerState[]): Why {
  switch (phaseOf(pod)) {
    case "Succeeded":
      return { reason: "PodCompleted" };
    case "Failed":
      return { reason: "PodFailed" };
    case "Pending":
    case "Running":
      return incomplete("ContainersNotReady", "unready", unready);
  }
}

function incomplete(reason: string, what: string, containers: readonly ContainerState[]): Why {
  return { reason, message: `containers with ${what} status: [${containers.map(({ name }) => name).join(" ")}]` };
}

function condition(type: PodCondition["type"], status: boolean, at: number, why?: Why): PodCondition {
  return { type, status: status ? "True" : "False", lastTransitionTime: timestamp(at), ...why };
}

/** When an init container let the next one go. */
function passedAt({ kind, state }: ContainerState): number | undefined {
  if (state.type === "terminated") return state.finishedAt;
  return kind === "sidecar" && state.type === "running" ? state.startedAt : undefined;
}

function checkedAt(container: ContainerState): number | undefined {
  return container.checkedAt;
}

function startOf({ state }: ContainerState): number | undefined {
  return state.type === "running" ? state.startedAt : undefined;
}

function endOf({ state, lastTermination }: ContainerState): number | undefined {
  return state.type === "terminated" ? state.finishedAt : lastTermination?.finishedAt;
}

function latest(first: number, times: readonly (number | undefined)[]): number {
  return Math.max(first, ...times.filter((time) => time !== undefined));
}
