/** Which fields of an object a client has set, as `fieldsV1` of metadata.managedFields tells it. Pure. */
import { type FieldNames, isAtomicMap, KEY_DEFAULTS, listTypeOf } from "./list-types.ts";
import { type Fields, fieldsOf, isRecord, same } from "./plain.ts";

/** "f:name" a field, "k:{…}" an entry by its keys, "v:…" an entry by its value. */
export type FieldPath = readonly string[];

/** A set of paths, each by itself as text, which tells equal ones. */
export type PathSet = ReadonlyMap<string, FieldPath>;

export const keyOfPath = (path: FieldPath): string => JSON.stringify(path);

/** Every field of an object that stands for itself; names of the object and its type are nobody's. */
export function pathsOf(object: unknown): PathSet {
  const found = new Map<string, FieldPath>();
  const add = (path: FieldPath): void => void found.set(keyOfPath(path), path);
  const walk = (value: unknown, path: FieldPath, names: FieldNames): void => {
    if (isRecord(value) && Object.keys(value).length > 0 && !isAtomicMap(names)) {
      for (const [name, inner] of Object.entries(value)) walk(inner, [...path, `f:${name}`], [...names, name]);
      return;
    }
    const type = Array.isArray(value) ? listTypeOf(names) : undefined;
    if (!Array.isArray(value) || type === undefined) {
      add(path);
      return;
    }
    for (const entry of value) {
      const segment = segmentOf(entry, type.keys);
      add([...path, segment]);
      if (isRecord(entry)) walk(entry, [...path, segment], names);
    }
  };
  for (const [name, value] of Object.entries(fieldsOf(object) ?? {})) {
    if (name === "apiVersion" || name === "kind" || name === "status") continue;
    const { name: _name, namespace: _namespace, managedFields: _fields, ...metadata } = fieldsOf(value) ?? {};
    if (name !== "metadata") walk(value, [`f:${name}`], [name]);
    else if (Object.keys(metadata).length > 0) walk(metadata, ["f:metadata"], ["metadata"]);
  }
  return found;
}

export function segmentOf(entry: unknown, keys: readonly string[]): string {
  const fields = fieldsOf(entry);
  if (fields === undefined || keys.length === 0) return `v:${JSON.stringify(entry)}`;
  const pairs = [...keys].sort().flatMap((key) => {
    const value = fields[key] ?? KEY_DEFAULTS[key];
    return value === undefined ? [] : [[key, value] as const];
  });
  return `k:${JSON.stringify(Object.fromEntries(pairs))}`;
}

/** What stands at a path, or undefined. */
export function valueAt(object: unknown, path: FieldPath): unknown {
  let value = object;
  for (const segment of path) {
    if (segment.startsWith("f:")) value = fieldsOf(value)?.[segment.slice(2)];
    else value = Array.isArray(value) ? value[placeIn(value, segment)] : undefined;
  }
  return value;
}

/** The object without what stands at a path; lists and objects that are empty by that go, too. */
export function without(value: unknown, path: FieldPath): unknown {
  const [segment, ...rest] = path;
  if (segment === undefined) return undefined;
  if (segment.startsWith("f:")) {
    const name = segment.slice(2);
    const fields = fieldsOf(value);
    if (fields === undefined || !Object.hasOwn(fields, name)) return value;
    const inner = without(fields[name], rest);
    const { [name]: _gone, ...others } = fields;
    if (inner !== undefined) return { ...others, [name]: inner };
    return Object.keys(others).length === 0 ? undefined : others;
  }
  if (!Array.isArray(value)) return value;
  const place = placeIn(value, segment);
  if (place < 0) return value;
  const inner = without(value[place], rest);
  const list = inner === undefined ? value.toSpliced(place, 1) : value.with(place, inner);
  return list.length === 0 ? undefined : list;
}

function placeIn(list: readonly unknown[], segment: string): number {
  const wanted: unknown = JSON.parse(segment.slice(2));
  if (segment.startsWith("v:")) return list.findIndex((entry) => same(entry, wanted));
  const keys = Object.entries(fieldsOf(wanted) ?? {});
  return list.findIndex((entry) =>
    keys.every(([key, value]) => same(fieldsOf(entry)?.[key] ?? KEY_DEFAULTS[key], value)),
  );
}

/** As `fieldsV1`: nested objects, "." for an entry itself. */
export function toFieldsV1(paths: PathSet): Fields {
  const root: Record<string, unknown> = {};
  for (const path of paths.values()) {
    let node = root;
    for (const segment of path) {
      const inner = node[segment];
      const next: Record<string, unknown> = isRecord(inner) ? (inner as Record<string, unknown>) : {};
      node[segment] = next;
      node = next;
    }
    if (!path.at(-1)?.startsWith("f:")) node["."] = {};
  }
  return root;
}

export function fromFieldsV1(fields: unknown): PathSet {
  const found = new Map<string, FieldPath>();
  const walk = (value: unknown, path: FieldPath): void => {
    const entries = Object.entries(fieldsOf(value) ?? {});
    if (path.length > 0 && (entries.length === 0 || Object.hasOwn(fieldsOf(value) ?? {}, ".")))
      found.set(keyOfPath(path), path);
    for (const [segment, inner] of entries) if (segment !== ".") walk(inner, [...path, segment]);
  };
  walk(fields, []);
  return found;
}
