/** Pods and claims that manifests have, and those that controllers make. Pure. */
import { keyOf } from "../desired.ts";
import { formatPlace, type LoadedObject, type PersistentVolumeClaim, type Problem } from "../manifest/index.ts";
import { persistentVolumeClaim } from "../manifest/schema/index.ts";

/**
 * Claims that controllers make, by "<namespace>/<name>". What is no valid claim any more is left out.
 * @param before what was found the last time: a claim that still says the same stays the very same object, as those of
 * manifests do, or every pod of its namespace would be told of a change at each look
 */
export function madeClaims(
  claims: readonly unknown[],
  before: ReadonlyMap<string, PersistentVolumeClaim>,
): Map<string, PersistentVolumeClaim> {
  const made = claims.flatMap((claim) => {
    const { data } = persistentVolumeClaim.safeParse(claim);
    if (data === undefined) return [];
    const key = keyOf(data);
    const was = before.get(key);
    return [[key, was !== undefined && JSON.stringify(was) === JSON.stringify(data) ? was : data] as const];
  });
  return new Map(made);
}

/** A pod that is written goes before one of the same name that a controller would make. */
export function withMade(
  written: readonly LoadedObject[],
  made: readonly LoadedObject[],
): { readonly objects: readonly LoadedObject[]; readonly problems: readonly Problem[] } {
  if (made.length === 0) return { objects: written, problems: [] };
  const pods = new Map(
    written.flatMap((one) => (one.object.kind === "Pod" ? [[keyOf(one.object), one] as const] : [])),
  );
  const problems = made.flatMap((one): Problem[] => {
    const key = keyOf(one.object);
    const rival = pods.get(key);
    if (rival === undefined) return [];
    const message = `makes a pod ${key}, which is defined at ${formatPlace(rival.place)} as well; that one stays in force`;
    return [{ severity: "error", place: one.place, field: "", message, hint: "rename one of them", object: undefined }];
  });
  return { objects: [...written, ...made.filter(({ object }) => !pods.has(keyOf(object)))], problems };
}
