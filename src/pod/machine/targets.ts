/** Which containers are to be watched now, and for what. Pure. */
import { activeChecks, checksOf, needsChecks } from "../rules/checks.ts";
import { runOf } from "../rules/run.ts";
import { findRun } from "../rules/world.ts";
import { type PodContext, slotsIn } from "./context.ts";
import type { CheckTarget } from "./env.ts";

export function checkTargets(context: PodContext, now: number): CheckTarget[] {
  // A pod that has failed is nobody's to ask any more (worker.go: "Worker should terminate if pod is terminated").
  if (context.pod.failure !== undefined) return [];
  const deleting = context.pod.deletionDeadline !== undefined;
  return slotsIn(context)
    .filter(needsChecks)
    .flatMap((slot): CheckTarget[] => {
      const facts = context.facts[slot.name];
      const run = runOf(slot, facts, context.known, now);
      if (run.type !== "live" || facts === undefined || context.dead.includes(run.container.id)) return [];
      const { container } = run;
      const placed = findRun(context.known, slot.name, container.attempt);
      const sandbox = context.known.find(({ id }) => id === placed?.sandboxId);
      if (sandbox === undefined) return [];
      const checks = checksOf(slot, container.id, facts);
      const active = activeChecks(slot, checks, deleting);
      const ip = context.env.podIp(context.desired, sandbox);
      return active.length === 0 ? [] : [{ slot, container, sandboxId: sandbox.id, ip, active, checks }];
    });
}
