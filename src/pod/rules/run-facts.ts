/** What the facts say of a run that is about to be. */
import type { ContainerFacts } from "../../store/contract.ts";
import { blankFacts } from "./exits.ts";
import type { Slot } from "./slots.ts";

/** Facts in which the next run has its number: never to be given to another, whatever becomes of this one. */
export function reservedFacts(uid: string, slot: Slot, facts = blankFacts(uid, slot.name)): ContainerFacts {
  const sameSpec = facts.specHash === slot.hash || slot.kind === "init";
  return { ...facts, attempt: facts.attempt + 1, specHash: "", backoffLevel: sameSpec ? facts.backoffLevel : 0 };
}

/** The run is made and only its start is missing: from here on it counts. */
export function madeFacts(facts: ContainerFacts, slot: Slot): ContainerFacts {
  const { lastExit, restartCount } = facts;
  return {
    ...facts,
    specHash: slot.hash,
    restartCount: lastExit === undefined ? restartCount : restartCount + 1,
    backoffUntil: undefined,
  };
}
