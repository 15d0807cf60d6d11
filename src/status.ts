/** The v1 PodStatus, computed from what a pod's machine knows. Pure. */
import type { ContainerState, NodeFacts, PodState, Termination } from "./pod/contract.ts";
import { conditionsOf, type PodCondition } from "./pod/rules/conditions.ts";
import { type PodPhase, phaseOf } from "./pod/rules/phase.ts";
import { type QosClass, qosClassOf } from "./pod/rules/qos.ts";
import { timestamp } from "./system/timestamp.ts";

export type { PodCondition } from "./pod/rules/conditions.ts";
export { type PodSummary, podSummary, type SummarizedPod } from "./pod/rules/summary.ts";

/** Times are RFC 3339, whole seconds, as the API server writes them. */
export interface PodStatus {
  readonly phase: PodPhase | "Unknown";
  readonly conditions: readonly PodCondition[];
  readonly reason?: string;
  readonly message?: string;
  readonly hostIP: string;
  readonly hostIPs?: readonly { readonly ip: string }[];
  readonly podIP?: string;
  readonly podIPs?: readonly { readonly ip: string }[];
  readonly startTime: string;
  readonly qosClass: QosClass;
  readonly containerStatuses: readonly ContainerStatus[];
  readonly initContainerStatuses?: readonly ContainerStatus[];
}

export interface ContainerStatus {
  readonly name: string;
  readonly state: StatusState;
  readonly lastState: StatusState;
  readonly ready: boolean;
  readonly started: boolean;
  readonly restartCount: number;
  readonly image: string;
  readonly imageID: string;
  readonly containerID?: string;
}

/** Exactly one of them; none in a lastState that is not known. */
export interface StatusState {
  readonly waiting?: { readonly reason: string; readonly message?: string };
  readonly running?: { readonly startedAt: string };
  readonly terminated?: TerminatedStatus;
}

export interface TerminatedStatus {
  readonly exitCode: number;
  /** Never set: the exit code of a signal n is 128 + n. */
  readonly signal?: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedAt?: string;
  readonly finishedAt: string;
  readonly containerID: string;
}

/**
 * @param node where the pod runs: its address is hostIP, and podIP with hostNetwork
 * @param _now not looked at: all times come from facts, so that two answers about the same state are the same
 */
export function podStatus(state: PodState, node: Pick<NodeFacts, "ip">, _now?: number): PodStatus {
  const { pod } = state.desired;
  const own = state.sandbox?.ips ?? [];
  const ips = own.length === 0 && pod.spec.hostNetwork === true && state.sandbox !== undefined ? [node.ip] : own;
  const said = state.failure ?? state.problem;
  const init = state.containers.filter(({ kind }) => kind !== "main").map(containerStatus);
  const [podIP] = ips;
  return {
    phase: phaseOf(state),
    conditions: conditionsOf(state),
    ...(said === undefined ? {} : { reason: said.reason, message: said.message }),
    hostIP: node.ip,
    hostIPs: [{ ip: node.ip }],
    ...(podIP === undefined ? {} : { podIP, podIPs: ips.map((ip) => ({ ip })) }),
    startTime: timestamp(state.createdAt),
    qosClass: qosClassOf(pod),
    containerStatuses: state.containers.filter(({ kind }) => kind === "main").map(containerStatus),
    ...(init.length === 0 ? {} : { initContainerStatuses: init }),
  };
}

function containerStatus(container: ContainerState): ContainerStatus {
  const { state, lastTermination: last } = container;
  const id = state.type === "waiting" ? (state.containerId ?? last?.containerId) : state.containerId;
  return {
    name: container.name,
    state: statusState(state),
    lastState: last === undefined ? {} : { terminated: terminated(last) },
    ready: container.ready,
    started: container.started,
    restartCount: container.restartCount,
    image: container.image,
    imageID: container.imageDigest ?? "",
    ...(id === undefined ? {} : { containerID: containerUri(id) }),
  };
}

function statusState(state: ContainerState["state"]): StatusState {
  switch (state.type) {
    case "waiting":
      return { waiting: { reason: state.reason, ...(state.message === undefined ? {} : { message: state.message }) } };
    case "running":
      return { running: { startedAt: timestamp(state.startedAt) } };
    case "terminated":
      return { terminated: terminated(state) };
  }
}

function terminated(end: Termination): TerminatedStatus {
  return {
    exitCode: end.exitCode,
    reason: end.reason,
    ...(end.message === undefined ? {} : { message: end.message }),
    ...(end.startedAt === undefined ? {} : { startedAt: timestamp(end.startedAt) }),
    finishedAt: timestamp(end.finishedAt),
    containerID: containerUri(end.containerId),
  };
}

function containerUri(id: string): string {
  return `gantry://${id}`;
}
