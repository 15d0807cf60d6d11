/** Whether a container that ended starts again, and when. */
import type { ContainerExit, ContainerFacts } from "../../store/contract.ts";
import { BACKOFF_RESET_MS, type Backoff, restartDelay } from "./backoff.ts";
import type { ContainerKind, RestartPolicy } from "./slots.ts";

/** Init containers run until they succeed once; sidecars always come back. */
export function shouldRestart(
  kind: ContainerKind,
  policy: RestartPolicy,
  exit: Pick<ContainerExit, "exitCode" | "killedFor">,
): boolean {
  // One that failed a probe or its hook has failed, also when it ended politely (computePodActions).
  const failed = exit.exitCode !== 0 || exit.killedFor !== undefined;
  switch (kind) {
    case "sidecar":
      return true;
    case "init":
      return failed && policy !== "Never";
    case "main":
      return policy === "Always" || (policy === "OnFailure" && failed);
  }
}

/** Takes an exit into the facts: what ended becomes the last run, and its backoff is decided once and for all. */
export function recordExit(
  facts: ContainerFacts,
  exit: ContainerExit,
  rule: { readonly kind: ContainerKind; readonly policy: RestartPolicy } & Backoff,
): ContainerFacts {
  const { checks } = facts;
  const killedFor = checks?.containerId === exit.containerId ? checks.failure : undefined;
  const last = killedFor === undefined ? exit : { ...exit, killedFor };
  const ended = { ...facts, lastExit: last, previousExit: facts.lastExit };
  // An empty hash: the next run was asked for, so it owes nothing to how this one ended.
  const asked = facts.specHash === "";
  if (asked || !shouldRestart(rule.kind, rule.policy, last)) {
    return { ...ended, backoffLevel: 0, backoffUntil: undefined };
  }
  const ranMs = exit.startedAt === undefined ? 0 : exit.finishedAt - exit.startedAt;
  const level = ranMs >= (rule.resetBackoffMs ?? BACKOFF_RESET_MS) ? 0 : facts.backoffLevel;
  const delay = restartDelay(level, rule.maxBackoffMs, rule.baseBackoffMs);
  return { ...ended, backoffLevel: level + 1, backoffUntil: delay === 0 ? undefined : exit.finishedAt + delay };
}
