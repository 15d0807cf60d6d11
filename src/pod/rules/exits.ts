/** Notices from observation which runs have ended since the facts were last brought up to date. */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerFacts, PodFacts } from "../../store/contract.ts";
import type { Backoff } from "./backoff.ts";
import { containerId, sandboxId } from "./ids.ts";
import { recordExit } from "./restart.ts";
import type { Slot } from "./slots.ts";
import { exitOf, lostExit } from "./termination.ts";
import { findRun } from "./world.ts";

export type FactsByName = Readonly<Record<string, ContainerFacts>>;

export interface ExitRules {
  readonly pod: PodFacts;
  readonly slots: readonly Slot[];
  readonly known: readonly ObservedSandbox[];
  /** Containers that are being worked on: not judged now. */
  readonly busy: (name: string) => boolean;
  readonly backoff: Backoff;
  readonly now: number;
}

/** @returns the facts with every newly noticed end recorded; the same object when there is none */
export function noticeExits(facts: FactsByName, rules: ExitRules): FactsByName {
  let result = facts;
  for (const slot of rules.slots) {
    const before = facts[slot.name];
    if (before === undefined || rules.busy(slot.name)) continue;
    const after = noticeExit(before, slot, rules);
    if (after !== before) result = { ...result, [slot.name]: after };
  }
  return result;
}

function noticeExit(facts: ContainerFacts, slot: Slot, rules: ExitRules): ContainerFacts {
  const attempt = facts.attempt - 1;
  if (attempt < 0 || facts.lastExit?.attempt === attempt) return facts;
  const { known, pod, now } = rules;
  const rule = { kind: slot.kind, policy: slot.policy, ...rules.backoff };
  const found = findRun(known, slot.name, attempt);
  // Of another spec, or with none: its end was asked for.
  const asked = facts.specHash !== slot.hash;
  switch (found?.container.state) {
    case "running":
      return facts;
    case "exited":
      return recordExit(facts, { ...exitOf(found.container, rules.slots.length, now), ...(!asked && UNASKED) }, rule);
    case "created":
      // It never ran, and in a dead sandbox it never will: another run is due.
      return found.ready || facts.specHash === "" ? facts : { ...facts, specHash: "" };
    case "unknown":
    case undefined: {
      // Not started yet, as far as the facts go: nothing was lost.
      if (facts.specHash === "") return facts;
      const sandbox = sandboxId(pod.uid, Math.max(0, pod.sandboxAttempt - 1));
      const lost = {
        containerId: found?.container.id ?? containerId(sandbox, slot.name, attempt),
        attempt,
        startedAt: found?.container.startedAt,
        logPath: found?.container.logPath ?? "",
        imageDigest: found?.container.imageDigest ?? "",
      };
      return recordExit(facts, { ...lostExit(lost, now), ...(!asked && UNASKED) }, rule);
    }
  }
}

const UNASKED = { unasked: true } as const;

/** A container of which nothing is known yet. */
export function blankFacts(podUid: string, name: string): ContainerFacts {
  return {
    podUid,
    name,
    specHash: "",
    attempt: 0,
    restartCount: 0,
    backoffLevel: 0,
    backoffUntil: undefined,
    lastExit: undefined,
    previousExit: undefined,
    checks: undefined,
  };
}
