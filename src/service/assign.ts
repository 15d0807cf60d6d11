import { parseCidr } from "../config/cidr.ts";
import { keyOf } from "../controller/entries.ts";
import type { Controllers } from "../controller/manager.ts";
import { type Problem, placeOfField } from "../manifest/index.ts";
import { type Assignment, assign, type Claimant } from "./addresses.ts";
import type { Assigned } from "./contract.ts";

/**
 * Gives each Service its address and ports, and has it remembered. Waits for nothing.
 * @param held who has a port of the host: "30080/TCP" → "pod default/web"
 * @returns also what is wrong with Services as they are written
 */
export function assignServices(
  controllers: Controllers,
  range: string | undefined,
  held: ReadonlyMap<string, string>,
): { readonly assignment: Assignment; readonly problems: readonly Problem[] } {
  const entries = controllers.services();
  const claimants = entries.map(
    ({ live }): Claimant => ({ key: keyOf(live.object), service: live.object, before: live.memory }),
  );
  const assignment = assign(claimants, range === undefined ? undefined : parseCidr(range), held);
  for (const { key, before } of claimants) {
    const now = assignment.byKey.get(key);
    if (now !== undefined && !same(before, now)) controllers.rememberService(key, { ...now });
  }
  const problems = assignment.refusals.flatMap(({ key, field, message, hint }): Problem[] => {
    const loaded = entries.find(({ live }) => keyOf(live.object) === key)?.loaded;
    if (loaded === undefined) return [];
    return [{ severity: "error", place: placeOfField(loaded, field), field, message, hint, object: `Service ${key}` }];
  });
  return { assignment, problems };
}

function same(before: Partial<Assigned>, now: Assigned): boolean {
  return before.clusterIP === now.clusterIP && JSON.stringify(before.nodePorts ?? {}) === JSON.stringify(now.nodePorts);
}
