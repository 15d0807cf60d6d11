/**
 * Server-side apply: a client says all that it wants of an object; what it has said before and says no more goes, and
 * what another has set stays (https://kubernetes.io/docs/reference/using-api/server-side-apply/). Pure.
 */
import {
  type FieldPath,
  fromFieldsV1,
  type PathSet,
  pathsOf,
  segmentOf,
  toFieldsV1,
  valueAt,
  without,
} from "./field-paths.ts";
import { type FieldNames, isAtomicMap, listTypeOf } from "./list-types.ts";
import { define, type Fields, isRecord, same } from "./plain.ts";

export interface ApplyRequest {
  /** The object as it is; undefined to make it. */
  readonly live: unknown;
  readonly applied: Fields;
  readonly managers: readonly Fields[];
  readonly manager: string;
  readonly force: boolean;
  /** RFC 3339, whole seconds. */
  readonly time: string;
}

export interface Conflict {
  readonly manager: string;
  /** ".spec.replicas" */
  readonly field: string;
}

export type ApplyOutcome =
  | { readonly object: unknown; readonly managers: readonly Fields[] }
  | { readonly conflicts: readonly Conflict[] };

export function serverSideApply(request: ApplyRequest): ApplyOutcome {
  const { live, applied, managers, manager, force, time } = request;
  const mine = pathsOf(applied);
  const isMine = (entry: Fields): boolean => entry["manager"] === manager && entry["operation"] === "Apply";
  const others = managers.filter((entry) => !isMine(entry));
  const contested = [...mine].filter(([, path]) => {
    const now = valueAt(live, path);
    return now !== undefined && !isEntry(path) && !same(now, valueAt(applied, path));
  });
  const conflicts = others.flatMap((entry) => {
    const owned = fromFieldsV1(entry["fieldsV1"]);
    return contested
      .filter(([key]) => owned.has(key))
      .map(([, path]): Conflict => ({ manager: String(entry["manager"]), field: shownPath(path) }));
  });
  if (conflicts.length > 0 && !force) return { conflicts };
  const taken = contested.map(([key]) => key);
  const elsewhere = new Set(
    others
      .flatMap((entry) => withoutPaths(entry, taken))
      .flatMap((entry) => [...fromFieldsV1(entry["fieldsV1"]).keys()]),
  );
  const before = managers.find(isMine);
  const dropped = [...fromFieldsV1(before?.["fieldsV1"])].filter(([key]) => !mine.has(key) && !elsewhere.has(key));
  const merged = merge(live, applied, []);
  const isKept = (path: FieldPath): boolean => (isEntry(path) ? hasOthers(path, elsewhere) : isKeyOfEntry(path));
  // What is inside goes before what it is in.
  const object = dropped
    .toSorted(([, a], [, b]) => b.length - a.length)
    .reduce((value: unknown, [, path]) => (isKept(path) ? value : without(value, path)), merged);
  const entry = entryOf(applied, manager, "Apply", mine, time);
  // Who applies the same again has changed nothing, and when that was is not told either.
  const unchanged = before !== undefined && same(object, live) && same(before["fieldsV1"], entry["fieldsV1"]);
  const own = unchanged ? before : entry;
  const all = managers.flatMap((one) => (isMine(one) ? [own] : withoutPaths(one, taken)));
  return { object, managers: before === undefined ? [...all, own] : all };
}

/** After a change that is no apply: what it set belongs to who made it. */
export function afterUpdate(
  managers: readonly Fields[],
  before: unknown,
  after: Fields,
  manager: string,
  time: string,
): readonly Fields[] {
  const now = pathsOf(after);
  const changed = new Map([...now].filter(([, path]) => !same(valueAt(before, path), valueAt(after, path))));
  const gone = [...pathsOf(before).keys()].filter((key) => !now.has(key));
  if (changed.size === 0 && gone.length === 0) return managers;
  const isMine = (entry: Fields): boolean => entry["manager"] === manager && entry["operation"] === "Update";
  const known = fromFieldsV1(managers.find(isMine)?.["fieldsV1"]);
  const own = new Map([...known, ...changed].filter(([key]) => now.has(key)));
  const left = managers
    .filter((entry) => !isMine(entry))
    .flatMap((entry) => withoutPaths(entry, [...changed.keys(), ...gone]));
  return own.size === 0 ? left : [...left, entryOf(after, manager, "Update", own, time)];
}

function entryOf(object: Fields, manager: string, operation: string, paths: PathSet, time: string): Fields {
  const { apiVersion } = object;
  return { manager, operation, apiVersion, time, fieldsType: "FieldsV1", fieldsV1: toFieldsV1(paths) };
}

/** None, when nothing is left of it. */
function withoutPaths(entry: Fields, keys: readonly string[]): Fields[] {
  const owned = fromFieldsV1(entry["fieldsV1"]);
  const left = new Map([...owned].filter(([key]) => !keys.includes(key)));
  if (left.size === owned.size) return [entry];
  return left.size === 0 ? [] : [{ ...entry, fieldsV1: toFieldsV1(left) }];
}

function isEntry(path: FieldPath): boolean {
  return path.at(-1)?.startsWith("f:") === false;
}

/** By it the entry that it is in is told from others: it goes only with the whole of it. */
function isKeyOfEntry(path: FieldPath): boolean {
  const [entry = "", field = ""] = path.slice(-2);
  if (!entry.startsWith("k:")) return false;
  const keys: unknown = JSON.parse(entry.slice(2));
  return isRecord(keys) && Object.hasOwn(keys, field.slice(2));
}

function hasOthers(path: FieldPath, owned: ReadonlySet<string>): boolean {
  const start = JSON.stringify(path).slice(0, -1);
  return [...owned].some((key) => key.startsWith(start));
}

function merge(live: unknown, applied: unknown, names: FieldNames): unknown {
  if (isRecord(live) && isRecord(applied) && !isAtomicMap(names)) {
    const result: Record<string, unknown> = { ...live };
    for (const [name, value] of Object.entries(applied))
      define(result, name, merge(live[name], value, [...names, name]));
    return result;
  }
  const type = Array.isArray(applied) && Array.isArray(live) ? listTypeOf(names) : undefined;
  if (type === undefined || !Array.isArray(applied) || !Array.isArray(live)) return applied;
  const idOf = (entry: unknown): string => segmentOf(entry, type.keys);
  const result: unknown[] = [...live];
  for (const entry of applied) {
    const place = result.findIndex((other) => idOf(other) === idOf(entry));
    if (place < 0) result.push(entry);
    else result[place] = merge(result[place], entry, names);
  }
  return result;
}

/** As kubectl shows it: `.spec.containers[name="app"].image` */
function shownPath(path: FieldPath): string {
  return path
    .map((segment) => {
      if (segment.startsWith("f:")) return `.${segment.slice(2)}`;
      const value: unknown = JSON.parse(segment.slice(2));
      if (!isRecord(value) || segment.startsWith("v:")) return `[=${segment.slice(2)}]`;
      const keys = Object.entries(value).map(([key, one]) => `${key}=${JSON.stringify(one)}`);
      return `[${keys.join(",")}]`;
    })
    .join("");
}
