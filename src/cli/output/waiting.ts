import type { PodObject } from "../../api/contract.ts";
import { isInForce } from "../goal.ts";
import { namespaceOf } from "../pods.ts";
import type { Colors } from "./color.ts";
import { oneLine } from "./text.ts";

/** What stands below the table for pods that can't get on: why, one line for each reason. Pure. */
export function waitingSection(pods: readonly PodObject[], colors: Colors): string[] {
  const lines = pods.flatMap((pod) =>
    [...new Set(reasonsOf(pod))].map((reason) => `  ${nameOf(pod)}: ${colors.yellow(oneLine(reason))}`),
  );
  return lines.length === 0 ? [] : [colors.bold("Can't go on:"), ...lines];
}

/** Pods whose manifest was changed, and which run as before for now. Pure. */
export function unchangedSection(pods: readonly PodObject[], colors: Colors): string[] {
  const lines = pods
    .filter((pod) => !isInForce(pod) && pod.metadata.deletionTimestamp === undefined)
    .map((pod) => `  ${nameOf(pod)}: see 'gantry events ${pod.metadata.name} -n ${namespaceOf(pod)}'`);
  return lines.length === 0 ? [] : [colors.bold("Changed, and not in force yet:"), ...lines];
}

/** A pod's own message says what its containers' would say, too. */
function reasonsOf({ status }: PodObject): string[] {
  if (status.phase === "Succeeded") return [];
  if (status.message !== undefined) return [status.message];
  return [...(status.initContainerStatuses ?? []), ...status.containerStatuses].flatMap(({ name, state }) => {
    const { waiting } = state;
    // The table says it all: it crashed, and will be started again.
    if (waiting?.message === undefined || waiting.reason === "CrashLoopBackOff") return [];
    return [`container ${name}: ${waiting.message}`];
  });
}

function nameOf(pod: PodObject): string {
  const namespace = namespaceOf(pod);
  return namespace === "default" ? pod.metadata.name : `${namespace}/${pod.metadata.name}`;
}
