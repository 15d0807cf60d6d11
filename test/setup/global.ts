import { readyCgroups } from "./cgroups.ts";
import { leftoversSince, takeInventory } from "./leftovers.ts";
import { watchNamedNamespaces } from "./named-namespaces.ts";

/**
 * Runs once around all tests. Under `npm test` it also compares the host before and after: whatever the tests left
 * behind fails the run. Not in a run by hand, where something else may be at work on the same host.
 */
export default async function setup(): Promise<() => Promise<void>> {
  const undo = readyCgroups();
  const forgetNamespaces = watchNamedNamespaces();
  const strict = process.env["GANTRY_CHECK_LEFTOVERS"] === "1";
  const before = strict ? await takeInventory() : undefined;
  return async () => {
    forgetNamespaces();
    const leftovers = before === undefined ? [] : await leftoversSince(before);
    undo();
    if (leftovers.length > 0)
      throw new Error(`The tests left things behind on this host:\n  ${leftovers.join("\n  ")}`);
  };
}
