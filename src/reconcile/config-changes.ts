import type { Desired } from "../desired.ts";

/** Namespaces in which a ConfigMap, Secret or PersistentVolumeClaim came, went or is another one now. Pure. */
export function namespacesWithOtherConfig(before: Desired, after: Desired): Set<string> {
  return new Set([
    ...changedNamespaces(before.configMaps, after.configMaps),
    ...changedNamespaces(before.secrets, after.secrets),
    ...changedNamespaces(before.claims, after.claims),
  ]);
}

function changedNamespaces(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => before.get(key) !== after.get(key)).map((key) => key.slice(0, key.indexOf("/")));
}
