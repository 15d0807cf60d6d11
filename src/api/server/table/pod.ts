/** The columns of pods (kubernetes, pkg/printers/internalversion, printPod). Pure. */
import { at, fieldsOf } from "../../patch/plain.ts";
import { ageColumn, type Column, listAt, NONE, nameColumn, numberAt, since, textAt } from "./column.ts";

export const podColumnsOfTable: readonly Column[] = [
  nameColumn,
  { name: "Ready", cell: readiness },
  { name: "Status", cell: (pod) => podStatusText(pod) },
  { name: "Restarts", cell: restarts },
  ageColumn,
  { name: "IP", priority: 1, cell: (pod) => textAt(pod, "status", "podIP") },
  { name: "Node", priority: 1, cell: (pod) => textAt(pod, "spec", "nodeName") },
  { name: "Nominated Node", priority: 1, cell: () => NONE },
  { name: "Readiness Gates", priority: 1, cell: readinessGates },
];

/** Init containers that go on running count as containers. */
function sidecars(pod: unknown): readonly string[] {
  return listAt(pod, "spec", "initContainers")
    .filter((container) => at(container, "restartPolicy") === "Always")
    .map((container) => textAt(container, "name"));
}

function statuses(pod: unknown): readonly unknown[] {
  const side = sidecars(pod);
  const init = listAt(pod, "status", "initContainerStatuses").filter((one) => side.includes(textAt(one, "name")));
  return [...init, ...listAt(pod, "status", "containerStatuses")];
}

function readiness(pod: unknown): string {
  const total = listAt(pod, "spec", "containers").length + sidecars(pod).length;
  const ready = statuses(pod).filter((one) => at(one, "ready") === true && at(one, "state", "running") !== undefined);
  return `${ready.length}/${total}`;
}

function restarts(pod: unknown, now: number): string {
  const all = [...listAt(pod, "status", "initContainerStatuses"), ...listAt(pod, "status", "containerStatuses")];
  const relevant = initializing(pod) === undefined ? statuses(pod) : all;
  const count = relevant.reduce<number>((sum, one) => sum + numberAt(one, "restartCount"), 0);
  const times = relevant.flatMap((one) => at(one, "lastState", "terminated", "finishedAt") ?? []).map(String);
  const last = times.sort().at(-1);
  return count === 0 || last === undefined ? String(count) : `${count} (${since(last, now)} ago)`;
}

/** The text of the column STATUS. */
export function podStatusText(pod: unknown): string {
  const init = initializing(pod);
  let text = init ?? mainStatus(pod);
  if (at(pod, "metadata", "deletionTimestamp") !== undefined) {
    const ended = ["Succeeded", "Failed"].includes(textAt(pod, "status", "phase"));
    if (at(pod, "status", "reason") === "NodeLost") text = "Unknown";
    else if (!ended) text = "Terminating";
  }
  return text;
}

function initializing(pod: unknown): string | undefined {
  const side = sidecars(pod);
  const all = listAt(pod, "status", "initContainerStatuses");
  for (const [index, one] of all.entries()) {
    const terminated = at(one, "state", "terminated");
    if (fieldsOf(terminated) !== undefined && at(terminated, "exitCode") === 0) continue;
    if (side.includes(textAt(one, "name")) && at(one, "started") === true) continue;
    if (terminated !== undefined) return `Init:${terminationText(terminated)}`;
    const waiting = at(one, "state", "waiting", "reason");
    if (typeof waiting === "string" && waiting !== "" && waiting !== "PodInitializing") return `Init:${waiting}`;
    return `Init:${index}/${all.length}`;
  }
  return undefined;
}

function mainStatus(pod: unknown): string {
  const reason = at(pod, "status", "reason");
  let text = typeof reason === "string" && reason !== "" ? reason : textAt(pod, "status", "phase");
  let hasRunning = false;
  for (const one of listAt(pod, "status", "containerStatuses").toReversed()) {
    const waiting = at(one, "state", "waiting", "reason");
    const terminated = at(one, "state", "terminated");
    if (typeof waiting === "string" && waiting !== "") text = waiting;
    else if (terminated !== undefined) text = terminationText(terminated);
    else if (at(one, "ready") === true && at(one, "state", "running") !== undefined) hasRunning = true;
  }
  if (text !== "Completed" || !hasRunning) return text;
  const isReady = listAt(pod, "status", "conditions").some(
    (condition) => at(condition, "type") === "Ready" && at(condition, "status") === "True",
  );
  return isReady ? "Running" : "NotReady";
}

function terminationText(terminated: unknown): string {
  const [reason, signal] = [at(terminated, "reason"), numberAt(terminated, "signal")];
  if (typeof reason === "string" && reason !== "") return reason;
  return signal === 0 ? `ExitCode:${numberAt(terminated, "exitCode")}` : `Signal:${signal}`;
}

function readinessGates(pod: unknown): string {
  const gates = listAt(pod, "spec", "readinessGates").map((gate) => textAt(gate, "conditionType"));
  if (gates.length === 0) return NONE;
  const held = listAt(pod, "status", "conditions").filter(
    (one) => gates.includes(textAt(one, "type")) && at(one, "status") === "True",
  );
  return `${held.length}/${gates.length}`;
}
