/** What a pod as a whole needs next, given where each of its containers stands. */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import { checksOf } from "./checks.ts";
import type { FactsByName } from "./exits.ts";
import { isOfSandbox } from "./ids.ts";
import { hasStarted } from "./readiness.ts";
import { type Run, runOf } from "./run.ts";
import type { Slot } from "./slots.ts";
import { currentSandbox } from "./world.ts";

export interface Outlook {
  readonly runs: ReadonlyMap<string, Run>;
  /** All init containers have done their work; the mains may run. */
  readonly initialized: boolean;
  /** Nothing will ever run again by itself: every main has ended for good, or an init container failed for good. */
  readonly complete: boolean;
  /** Containers whose turn it is: those among them that are due are to be started. */
  readonly turn: ReadonlySet<string>;
}

/** @param held containers that can't be started for now: nobody waits for them */
export function outlookOf(
  slots: readonly Slot[],
  facts: FactsByName,
  known: readonly ObservedSandbox[],
  now: number,
  held: (name: string) => boolean = () => false,
): Outlook {
  const runs = new Map(slots.map((slot) => [slot.name, runOf(slot, facts[slot.name], known, now)]));
  const mains = slots.filter(({ kind }) => kind === "main");
  const ended = (slot: Slot): boolean => runs.get(slot.name)?.type === "ended";
  const complete = mains.every(ended) || slots.some((slot) => slot.kind === "init" && failed(runs.get(slot.name)));
  const mainTurn = upToPostStart(mains, (slot) => {
    const run = runs.get(slot.name);
    if (run?.type === "live") return !checksOf(slot, run.container.id, facts[slot.name]).postStarted;
    return (run?.type === "due" || run?.type === "created") && !held(slot.name);
  });
  if (mainsHaveRun(mains, facts, known)) {
    // From here on sidecars and mains come and go independently.
    const sidecars = slots.filter(({ kind }) => kind === "sidecar").map(({ name }) => name);
    return { runs, initialized: true, complete, turn: new Set([...sidecars, ...mainTurn]) };
  }
  const turn = new Set<string>();
  for (const slot of slots) {
    if (slot.kind === "main") continue;
    turn.add(slot.name);
    const run = runs.get(slot.name);
    const passed =
      slot.kind === "init"
        ? ended(slot) && !failed(run)
        : run?.type === "live" && hasStarted(checksOf(slot, run.container.id, facts[slot.name]));
    if (!passed) return { runs, initialized: false, complete, turn };
  }
  for (const name of mainTurn) turn.add(name);
  return { runs, initialized: true, complete, turn };
}

/**
 * Mains are started in their order, and a postStart hook holds back those after it until it is done, as the kubelet
 * has it (SyncPod starts one after the other): proxies are made to come before apps this way.
 */
function upToPostStart(mains: readonly Slot[], isComing: (slot: Slot) => boolean): string[] {
  const holding = mains.findIndex((slot) => slot.spec.lifecycle?.postStart !== undefined && isComing(slot));
  return (holding < 0 ? mains : mains.slice(0, holding + 1)).map(({ name }) => name);
}

/** Init containers are over once any main was started in this sandbox, whatever became of their traces. */
function mainsHaveRun(mains: readonly Slot[], facts: FactsByName, known: readonly ObservedSandbox[]): boolean {
  const sandbox = currentSandbox(known);
  if (sandbox === undefined) return false;
  return mains.some(({ name }) => {
    const exit = facts[name]?.lastExit;
    if (exit !== undefined && isOfSandbox(exit.containerId, sandbox.id)) return true;
    return sandbox.containers.some((container) => container.name === name && container.state !== "unknown");
  });
}

function failed(run: Run | undefined): boolean {
  return run?.type === "ended" && run.exit.exitCode !== 0;
}
