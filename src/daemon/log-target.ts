import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { LogTarget } from "../api/contract.ts";
import type { PodState, PodSupervisor } from "../pod/contract.ts";
import { GantryError } from "../system/errors.ts";
import { requireContainer, runningId } from "./pod-targets.ts";

/** The log files of a container are numbered by its runs, and outlive them: the newest is the present or last run. */
export function logTarget(
  { podLogs, supervisor }: { readonly podLogs: string; readonly supervisor: PodSupervisor },
  state: PodState,
  container: string | undefined,
  previous: boolean,
): LogTarget {
  const { name } = requireContainer(state, container);
  const { namespace, name: podName } = state.desired.pod.metadata;
  const directory = join(podLogs, `${namespace}_${podName}_${state.uid}`, name);
  const runs = runNumbers(directory);
  const run = runs.at(previous ? -2 : -1);
  if (run === undefined) {
    const what = previous
      ? `previous terminated container "${name}" in pod "${podName}" not found`
      : `container "${name}" in pod "${podName}" has not started yet`;
    throw new GantryError("not-found", what, { hint: `See why: gantry describe ${podName} -n ${namespace}` });
  }
  const newest = run === runs.at(-1);
  return {
    path: join(directory, `${run}.log`),
    running: () => {
      const now = supervisor.get(state.uid)?.containers.find((one) => one.name === name);
      return newest && now !== undefined && runningId(now) !== undefined && runNumbers(directory).at(-1) === run;
    },
  };
}

/** In order. Rotated files count too: while one is rotated, a run has no other. */
function runNumbers(directory: string): number[] {
  try {
    const names = readdirSync(directory).flatMap((file) => /^(\d+)\.log(\.\d|$)/.exec(file)?.[1] ?? []);
    return [...new Set(names.map(Number))].sort((a, b) => a - b);
  } catch {
    return []; // it never ran
  }
}
