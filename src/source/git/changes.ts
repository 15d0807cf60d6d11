/** What differs between two contents, object by object and field by field. Pure. */
import { identityOf, type ManifestObject } from "../../manifest/index.ts";
import type { Content } from "./content.ts";

export interface FieldDifference {
  /** "spec.containers[0].image" */
  readonly field: string;
  /** undefined where there is nothing; of Secrets never the value itself. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

export interface ObjectDifference {
  readonly type: "added" | "changed" | "removed";
  /** "Pod default/web" */
  readonly object: string;
  /** The file in the repository. */
  readonly path: string;
  readonly fields: readonly FieldDifference[];
}

export function compareContents(before: Content, after: Content): ObjectDifference[] {
  const old = new Map(before.objects.map((loaded) => [identityOf(loaded.object), loaded]));
  const differences: ObjectDifference[] = [];
  for (const loaded of after.objects) {
    const object = identityOf(loaded.object);
    const was = old.get(object);
    old.delete(object);
    const path = after.origins.get(object)?.path ?? "";
    if (was === undefined) differences.push({ type: "added", object, path, fields: [] });
    else if (was.object !== loaded.object) {
      const fields = compareObjects(was.object, loaded.object);
      if (fields.length > 0) differences.push({ type: "changed", object, path, fields });
    }
  }
  for (const [object] of old)
    differences.push({ type: "removed", object, path: before.origins.get(object)?.path ?? "", fields: [] });
  return differences.sort((a, b) => (a.object < b.object ? -1 : a.object > b.object ? 1 : 0));
}

const HIDDEN = "(hidden)";

function compareObjects(before: ManifestObject, after: ManifestObject): FieldDifference[] {
  const found: FieldDifference[] = [];
  compareValues(before, after, "", found);
  if (before.kind !== "Secret") return found;
  return found.map((one) => {
    // What kubectl noted of the last apply is the whole object.
    if (!/^(data|stringData)\b|last-applied-configuration/.test(one.field)) return one;
    const hide = (text: string | undefined): string | undefined => (text === undefined ? undefined : HIDDEN);
    return { ...one, before: hide(one.before), after: hide(one.after) };
  });
}

function compareValues(before: unknown, after: unknown, field: string, found: FieldDifference[]): void {
  if (isTree(before) && isTree(after) && Array.isArray(before) === Array.isArray(after)) {
    for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
      const name = Array.isArray(before) ? `${field}[${key}]` : field === "" ? key : `${field}.${key}`;
      compareValues(Reflect.get(before, key), Reflect.get(after, key), name, found);
    }
    return;
  }
  const [was, is] = [textOf(before), textOf(after)];
  if (was !== is) found.push({ field, before: was, after: is });
}

function isTree(value: unknown): value is object {
  return typeof value === "object" && value !== null;
}

const LONGEST = 120;

function textOf(value: unknown): string | undefined {
  if (value === undefined) return undefined;
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
