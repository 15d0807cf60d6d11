/** What kubectl prints of a pod (k8s.io/kubernetes/pkg/printers/internalversion, printPod). Pure. */
import { formatSpan } from "../../age.ts";
import type { ContainerStatus, PodStatus, StatusState } from "../../status.ts";

export interface PodSummary {
  /** Column STATUS. */
  readonly status: string;
  readonly readyContainers: number;
  readonly totalContainers: number;
  /** Column READY: "1/2". */
  readonly ready: string;
  readonly restartCount: number;
  /** Column RESTARTS: "3 (5m ago)". */
  readonly restarts: string;
  /** Column AGE. */
  readonly age: string;
}

/** The parts of a v1 Pod as served that count here. */
export interface SummarizedPod {
  readonly metadata: {
    readonly creationTimestamp?: string | undefined;
    readonly deletionTimestamp?: string | undefined;
  };
  readonly spec: {
    readonly initContainers?:
      | readonly { readonly name: string; readonly restartPolicy?: string | undefined }[]
      | undefined;
  };
  readonly status: PodStatus;
}

/** @param now ms since the epoch */
export function podSummary({ metadata, spec, status }: SummarizedPod, now: number): PodSummary {
  // Sidecars count as containers that are to be ready.
  const sidecars = new Set(
    spec.initContainers?.filter(({ restartPolicy }) => restartPolicy === "Always").map(({ name }) => name),
  );
  const init = status.initContainerStatuses ?? [];
  const counted = [...init.filter(({ name }) => sidecars.has(name)), ...status.containerStatuses];
  const running = counted.filter(({ ready, state }) => ready && state.running !== undefined);
  const initializing = initReason(init, sidecars);
  // While init containers run only their restarts are of interest.
  const restarting = initializing === undefined ? counted : init;
  const restartCount = restarting.reduce((sum, container) => sum + container.restartCount, 0);
  const deleting = metadata.deletionTimestamp !== undefined && !isFinal(status.phase);
  return {
    status: deleting ? "Terminating" : (initializing ?? containersReason(status)),
    readyContainers: running.length,
    totalContainers: counted.length,
    ready: `${running.length}/${counted.length}`,
    restartCount,
    restarts: restartsText(restartCount, restarting, now),
    age:
      metadata.creationTimestamp === undefined ? "<unknown>" : formatSpan(now - Date.parse(metadata.creationTimestamp)),
  };
}

function isFinal(phase: PodStatus["phase"]): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

/** @returns undefined when all init containers are through */
function initReason(init: readonly ContainerStatus[], sidecars: ReadonlySet<string>): string | undefined {
  for (const [index, { name, state, started }] of init.entries()) {
    if (state.terminated?.exitCode === 0) continue;
    if (sidecars.has(name) && started) continue;
    if (state.terminated !== undefined) return `Init:${terminationText(state.terminated)}`;
    const waiting = state.waiting?.reason;
    if (waiting !== undefined && waiting !== "PodInitializing" && waiting !== "ContainerCreating")
      return `Init:${waiting}`;
    return `Init:${index}/${init.length}`;
  }
  return undefined;
}

function containersReason(status: PodStatus): string {
  let reason = status.reason !== undefined && status.phase === "Failed" ? status.reason : status.phase;
  let anyRunning = false;
  for (const { state, ready } of status.containerStatuses.toReversed()) {
    reason = reasonOf(state) ?? reason;
    if (ready && state.running !== undefined) anyRunning = true;
  }
  if (status.reason !== undefined && status.phase === "Failed") return status.reason;
  // One has completed while another still runs: the pod does.
  if (reason === "Completed" && anyRunning) return isReady(status) ? "Running" : "NotReady";
  return reason;
}

function reasonOf({ waiting, terminated }: StatusState): string | undefined {
  return waiting?.reason ?? (terminated === undefined ? undefined : terminationText(terminated));
}

function terminationText({ reason, exitCode }: { readonly reason: string; readonly exitCode: number }): string {
  if (reason !== "") return reason;
  return exitCode > 128 ? `Signal:${exitCode - 128}` : `ExitCode:${exitCode}`;
}

function isReady({ conditions }: PodStatus): boolean {
  return conditions.some(({ type, status }) => type === "Ready" && status === "True");
}

function restartsText(count: number, containers: readonly ContainerStatus[], now: number): string {
  const ends = containers
    .filter(({ restartCount }) => restartCount > 0)
    .flatMap(({ lastState, state }) => {
      const end = lastState.terminated?.finishedAt ?? state.terminated?.finishedAt;
      return end === undefined ? [] : [Date.parse(end)];
    });
  return count === 0 || ends.length === 0 ? String(count) : `${count} (${formatSpan(now - Math.max(...ends))} ago)`;
}
