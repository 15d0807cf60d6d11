/**
 * Strategic merge patches: like JSON merge patches, but lists of which the entries have a name are merged by it, and
 * directives say the rest (k8s.io/apimachinery/pkg/util/strategicpatch). Pure.
 */
import { GantryError } from "../../system/errors.ts";
import { type FieldNames, KEY_DEFAULTS, listTypeOf } from "./list-types.ts";
import { define, type Fields, fieldsOf, isRecord, same } from "./plain.ts";

const DIRECTIVE = "$patch";
const RETAIN = "$retainKeys";
const DELETE_PRIMITIVES = "$deleteFromPrimitiveList/";
const ORDER = "$setElementOrder/";

/** @throws GantryError usage, when a directive can't be understood */
export function strategicMerge(value: unknown, patch: unknown, path: FieldNames = []): unknown {
  if (!isRecord(patch)) return patch;
  const directive = patch[DIRECTIVE];
  if (directive === "replace") return withoutDirectives(patch);
  if (directive === "delete") return undefined;
  if (directive !== undefined && directive !== "merge") throw unknownDirective(directive, path);
  const result: Record<string, unknown> = { ...fieldsOf(value) };
  const retained = patch[RETAIN];
  if (Array.isArray(retained))
    for (const name of Object.keys(result)) if (!retained.includes(name)) delete result[name];
  for (const [name, wanted] of Object.entries(patch)) {
    if (name === DIRECTIVE || name === RETAIN || name.startsWith(ORDER) || name.startsWith(DELETE_PRIMITIVES)) continue;
    if (name.startsWith("$")) throw unknownDirective(name, path);
    if (wanted === null) {
      delete result[name];
      continue;
    }
    const merged = Array.isArray(wanted)
      ? mergeList(result[name], wanted, [...path, name])
      : strategicMerge(result[name], wanted, [...path, name]);
    if (merged === undefined) delete result[name];
    else define(result, name, merged);
  }
  for (const [name, entries] of Object.entries(patch)) {
    if (!Array.isArray(entries)) continue;
    if (name.startsWith(DELETE_PRIMITIVES)) {
      const field = name.slice(DELETE_PRIMITIVES.length);
      const list = result[field];
      if (Array.isArray(list)) result[field] = list.filter((entry) => !entries.includes(entry));
    } else if (name.startsWith(ORDER)) {
      const field = name.slice(ORDER.length);
      result[field] = ordered(result[field], entries, listTypeOf([...path, field])?.mergeKey);
    }
  }
  return result;
}

function mergeList(value: unknown, patch: readonly unknown[], path: FieldNames): unknown {
  const type = listTypeOf(path);
  const before: readonly unknown[] = Array.isArray(value) ? value : [];
  if (patch.some((entry) => isRecord(entry) && entry[DIRECTIVE] === "replace" && Object.keys(entry).length === 1))
    return patch.filter((entry) => !(isRecord(entry) && entry[DIRECTIVE] === "replace")).map(withoutDirectives);
  if (type === undefined) return patch.map(withoutDirectives);
  const { mergeKey, keys } = type;
  if (mergeKey === undefined) return [...before, ...patch.filter((entry) => !before.includes(entry))];
  const result = [...before];
  for (const entry of patch) {
    if (!isRecord(entry) || entry[mergeKey] === undefined) {
      throw new GantryError("usage", `${path.join(".")}: an entry of the patch has no ${mergeKey}`, {
        hint: `Entries of this list are found by their ${mergeKey}.`,
      });
    }
    const index = indexOf(result, entry, mergeKey, keys);
    if (entry[DIRECTIVE] === "delete") {
      if (index >= 0) result.splice(index, 1);
    } else if (index < 0) result.push(strategicMerge(undefined, entry, path));
    else result[index] = strategicMerge(result[index], entry, path);
  }
  return result;
}

/** By all keys where that is decisive, as two ports may have one number and different protocols. */
function indexOf(list: readonly unknown[], entry: Fields, mergeKey: string, keys: readonly string[]): number {
  const matching = (names: readonly string[]): number[] =>
    list.flatMap((other, index) => {
      const fields = fieldsOf(other);
      return fields !== undefined && names.every((key) => same(keyOf(fields, key), keyOf(entry, key))) ? [index] : [];
    });
  const [first = -1, ...more] = matching([mergeKey]);
  return more.length === 0 ? first : (matching(keys)[0] ?? first);
}

function keyOf(fields: Fields, key: string): unknown {
  return fields[key] ?? KEY_DEFAULTS[key];
}

/** Entries in the order of `wanted`; those that it does not name keep their place behind their neighbours. */
function ordered(value: unknown, wanted: readonly unknown[], mergeKey: string | undefined): unknown {
  if (!Array.isArray(value)) return value;
  const idOf = (entry: unknown): unknown => (mergeKey === undefined ? entry : fieldsOf(entry)?.[mergeKey]);
  const places = wanted.map(idOf);
  const named = value.filter((entry) => places.includes(idOf(entry)));
  named.sort((a, b) => places.indexOf(idOf(a)) - places.indexOf(idOf(b)));
  const result: unknown[] = [];
  for (const entry of value) result.push(places.includes(idOf(entry)) ? named.shift() : entry);
  return result;
}

/** A patch for what is not there yet holds directives all the same. */
function withoutDirectives(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutDirectives);
  if (!isRecord(value)) return value;
  const kept = Object.entries(value).filter(([name, entry]) => !isDirective(name) && entry !== null);
  return Object.fromEntries(kept.map(([name, entry]) => [name, withoutDirectives(entry)]));
}

function isDirective(name: string): boolean {
  return name === DIRECTIVE || name === RETAIN || name.startsWith(ORDER) || name.startsWith(DELETE_PRIMITIVES);
}

function unknownDirective(directive: unknown, path: FieldNames): GantryError {
  const where = path.length === 0 ? "the patch" : path.join(".");
  return new GantryError("usage", `${where}: unknown directive ${JSON.stringify(directive)}`, {
    hint: "Directives are $patch (merge, replace, delete), $retainKeys, $setElementOrder and $deleteFromPrimitiveList.",
  });
}
