/** Facts of a pod that is taken over: what the store remembers, completed by what is seen (the store may be new). */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerFacts, PodFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import { blankFacts, type FactsByName } from "./exits.ts";
import { allContainers } from "./world.ts";

export function adoptPod(
  desired: DesiredPod,
  uid: string,
  stored: PodFacts | undefined,
  known: readonly ObservedSandbox[],
  now: number,
): PodFacts {
  const attempts = known.map(({ attempt }) => attempt + 1);
  return {
    uid,
    namespace: desired.pod.metadata.namespace,
    name: desired.pod.metadata.name,
    createdAt: stored?.createdAt ?? Math.min(now, ...known.map(({ createdAt }) => createdAt)),
    sandboxAttempt: Math.max(stored?.sandboxAttempt ?? 0, ...attempts),
    deletionDeadline: stored?.deletionDeadline,
    failure: stored?.failure,
  };
}

export function adoptContainers(
  uid: string,
  stored: readonly ContainerFacts[],
  known: readonly ObservedSandbox[],
): FactsByName {
  const facts: Record<string, ContainerFacts> = Object.fromEntries(stored.map((one) => [one.name, one]));
  for (const { container } of allContainers(known)) {
    const before = facts[container.name];
    if (before !== undefined && before.attempt > container.attempt) continue;
    // Seen, but not remembered: the number of the run tells how many there were.
    const ran = container.state === "running" || container.state === "exited";
    facts[container.name] = {
      ...(before ?? blankFacts(uid, container.name)),
      attempt: container.attempt + 1,
      specHash: ran ? container.specHash : "",
      restartCount: Math.max(before?.restartCount ?? 0, container.attempt),
    };
  }
  return facts;
}
