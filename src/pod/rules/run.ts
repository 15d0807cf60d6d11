/** Where one container stands: computed from facts and observation alone, so that it is the same after a restart. */
import type { ObservedContainer, ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerExit, ContainerFacts } from "../../store/contract.ts";
import { isOfSandbox } from "./ids.ts";
import { shouldRestart } from "./restart.ts";
import type { Slot } from "./slots.ts";
import { currentSandbox, findRun } from "./world.ts";

export type Run =
  /** To be started now. */
  | { readonly type: "due" }
  /** To be started again, but not before `until`. */
  | { readonly type: "backoff"; readonly until: number; readonly exit: ContainerExit }
  /** Made and recorded, only its start is missing: the daemon was killed in between. */
  | { readonly type: "created"; readonly container: ObservedContainer }
  | {
      readonly type: "live";
      readonly container: ObservedContainer;
      /** Made from another spec, or to be restarted by request. */
      readonly outdated: boolean;
    }
  /** Ended for good. */
  | { readonly type: "ended"; readonly exit: ContainerExit };

/**
 * `facts.specHash` is what the latest run was *started* from; it is empty from the moment a new run is wanted until
 * everything up to its start is done.
 */
export function runOf(
  slot: Slot,
  facts: ContainerFacts | undefined,
  known: readonly ObservedSandbox[],
  now: number,
): Run {
  if (facts === undefined || facts.attempt === 0) return { type: "due" };
  const sandbox = currentSandbox(known);
  const current = isCurrent(slot, facts);
  const exit = facts.lastExit?.attempt === facts.attempt - 1 ? facts.lastExit : undefined;
  const placed = exit === undefined ? findRun(known, slot.name, facts.attempt - 1) : undefined;
  if (placed?.container.state === "running") return { type: "live", container: placed.container, outdated: !current };
  if (placed?.container.state === "created" && placed.sandboxId === sandbox?.id && current) {
    return { type: "created", container: placed.container };
  }
  if (!current || exit === undefined) return { type: "due" };
  if (slot.kind === "init" && exit.exitCode === 0) {
    // What it did holds for the sandbox it ran in; a new one needs it again.
    const done = sandbox === undefined || isOfSandbox(exit.containerId, sandbox.id);
    return done ? { type: "ended", exit } : { type: "due" };
  }
  if (!shouldRestart(slot.kind, slot.policy, exit)) return { type: "ended", exit };
  if (facts.backoffUntil !== undefined && facts.backoffUntil > now)
    return { type: "backoff", until: facts.backoffUntil, exit };
  return { type: "due" };
}

/** A changed init container asks for a new pod, not for a second run in this one. */
function isCurrent(slot: Slot, facts: ContainerFacts): boolean {
  return slot.kind === "init" ? facts.specHash !== "" : facts.specHash === slot.hash;
}
