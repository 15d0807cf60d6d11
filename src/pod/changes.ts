/** Events that tell of what changed between two moments of a pod. Pure. */
import { type PodContext, slotsIn } from "./machine/context.ts";

export interface ToldEvent {
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** As the kubelet words it, each time that the wait gets longer. */
function pullBackOffs(before: PodContext, after: PodContext): ToldEvent[] {
  if (before.holds === after.holds) return [];
  const images = new Map(slotsIn(after).map(({ name, spec }) => [name, spec.image]));
  return Object.entries(after.holds).flatMap(([name, { reason, until }]): ToldEvent[] => {
    if (reason !== "ImagePullBackOff" || before.holds[name]?.until === until) return [];
    return [{ type: "Normal", reason: "BackOff", message: `Back-off pulling image "${images.get(name) ?? name}"` }];
  });
}

export function eventsBetween(before: PodContext, after: PodContext): ToldEvent[] {
  if (before === after) return [];
  const events: ToldEvent[] = [];
  const { failure } = after.pod;
  if (failure !== undefined && before.pod.failure === undefined) {
    events.push({ type: "Warning", reason: failure.reason, message: failure.message });
  }
  events.push(...pullBackOffs(before, after));
  for (const { id, state, problem } of after.known) {
    if (problem === undefined || problem === before.known.find((one) => one.id === id)?.problem) continue;
    const reason = state === "ready" ? "SandboxNotResponding" : "SandboxFailed";
    events.push({ type: "Warning", reason, message: `Pod sandbox: ${problem}` });
  }
  if (before.facts === after.facts) return events;
  const over =
    failure !== undefined || after.pod.deletionDeadline !== undefined || after.shutdownDeadline !== undefined;
  const { name: pod, namespace } = after.desired.pod.metadata;
  for (const { name, backoffUntil, lastExit } of Object.values(after.facts)) {
    const known = before.facts[name];
    if (!over && backoffUntil !== undefined && backoffUntil !== known?.backoffUntil) {
      const message = `Back-off restarting failed container ${name} in pod ${pod}_${namespace}`;
      events.push({ type: "Warning", reason: "BackOff", message });
    }
    if (lastExit?.reason === "OOMKilled" && lastExit.attempt !== known?.lastExit?.attempt) {
      events.push({
        type: "Warning",
        reason: "OOMKilling",
        message: `Container ${name} was killed because it used more memory than it may`,
      });
    }
  }
  return events;
}
