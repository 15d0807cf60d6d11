/** The containers that are created along with their sandbox, to save the time that its network takes. Pure. */
import type { DesiredPod } from "../contract.ts";
import type { FactsByName } from "./exits.ts";
import { runOf } from "./run.ts";
import { type Slot, slotsOf } from "./slots.ts";

/**
 * Only where nothing has to come before them, and none that must know the pod's address; the others have their turn
 * when the sandbox is there.
 */
export function firstSlots(desired: DesiredPod, facts: FactsByName, now: number): Slot[] {
  const slots = slotsOf(desired);
  if (slots.some(({ kind, spec }) => kind !== "main" || asksForAddress(spec))) return [];
  return slots.filter((slot) => runOf(slot, facts[slot.name], [], now).type === "due");
}

function asksForAddress({ env = [] }: Slot["spec"]): boolean {
  return env.some(({ valueFrom }) => valueFrom?.fieldRef?.fieldPath.startsWith("status.podIP") === true);
}
