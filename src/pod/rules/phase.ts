/** The phase of a pod: the first rule that matches (kubelet, getPhase). */
import type { ContainerState, PodState } from "../contract.ts";

export type PodPhase = "Pending" | "Running" | "Succeeded" | "Failed";

export function phaseOf(pod: Pick<PodState, "failure" | "containers">): PodPhase {
  if (pod.failure !== undefined) return "Failed";
  const init = pod.containers.filter(({ kind }) => kind === "init");
  const mains = pod.containers.filter(({ kind }) => kind === "main");
  if (init.some(({ state }) => state.type === "terminated" && state.exitCode !== 0)) return "Failed";
  if (init.some(({ state }) => state.type !== "terminated") || mains.some(neverStarted)) return "Pending";
  if (mains.some(({ state }) => state.type === "running")) return "Running";
  // A container that waits after it ran is going to be restarted.
  if (mains.some(({ state }) => state.type === "waiting")) return "Running";
  return mains.every(({ state }) => state.type === "terminated" && state.exitCode === 0) ? "Succeeded" : "Failed";
}

function neverStarted({ state, lastTermination }: ContainerState): boolean {
  return state.type === "waiting" && lastTermination === undefined;
}
