/** Problems: their order, and how a terminal shows them. */
import type { ManifestObject, Place, Problem } from "./contract.ts";
import { isInert, isOfCluster } from "./foreign-kinds.ts";
import type { InertObject } from "./schema/index.ts";

/** Whether nothing acts on it. */
export function isInertObject(object: ManifestObject): object is InertObject {
  return isInert(object.kind);
}

/** By file, then by position. */
export function byPosition(problems: readonly Problem[]): Problem[] {
  return [...problems].sort(
    (a, b) => compare(a.place.file, b.place.file) || a.place.line - b.place.line || a.place.column - b.place.column,
  );
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** `file:line:column` */
export function formatPlace(place: Place): string {
  return `${place.file}:${place.line}:${place.column}`;
}

/** One line, as compilers write it, which editors and terminals can follow to the place. */
export function formatProblem(problem: Problem): string {
  const field = problem.field === "" ? "" : `${problem.field}: `;
  const hint = problem.hint === undefined ? "" : ` (${problem.hint})`;
  return `${formatPlace(problem.place)}: ${problem.severity}: ${field}${problem.message}${hint}`;
}

/** "Pod default/web"; equal for two manifests of the same object. */
export function identityOf(object: ManifestObject): string {
  const { name, namespace } = object.metadata;
  return isOfCluster(object.kind) ? `${object.kind} ${name}` : `${object.kind} ${namespace ?? "default"}/${name}`;
}
