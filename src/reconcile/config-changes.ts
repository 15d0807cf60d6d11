import type { Desired } from "../desired.ts";

/** Namespaces in which a ConfigMap, Secret or PersistentVolumeClaim came, went or is another one now. Pure. */
export function namespacesWithOtherConfig(before: Desired, after: Desired): Set<string> {
  return new Set([
    ...changedNamespaces(before.configMaps, after.configMaps),
    ...changedNamespaces(before.secrets, after.secrets),
    ...changedNamespaces(before.claims, after.claims),
  ]);
}

/** Whether any object but a pod came, went or is another one now. Pure. */
export function hasOtherObjects(before: Desired, after: Desired): boolean {
  return (["configMaps", "secrets", "claims", "runtimeClasses", "inert"] as const).some((kind) => {
    const [was, is] = [before[kind], after[kind]];
    return was.size !== is.size || [...is].some(([key, object]) => was.get(key) !== object);
  });
}

function changedNamespaces(before: ReadonlyMap<string, unknown>, after: ReadonlyMap<string, unknown>): string[] {
  const keys = new Set([...before.keys(), ...after.keys()]);
  return [...keys].filter((key) => before.get(key) !== after.get(key)).map((key) => key.slice(0, key.indexOf("/")));
}
