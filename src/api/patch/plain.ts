/** Plain JSON data, as patches work on it. Pure. */
import { isDeepStrictEqual } from "node:util";
import { DEPTH_LIMIT, define, isRecord, TOO_MANY_VALUES, VALUES_LIMIT } from "../../manifest/yaml/plain.ts";
import { GantryError } from "../../system/errors.ts";

export type Fields = Readonly<Record<string, unknown>>;

export { define, isRecord };

export const same = isDeepStrictEqual;

/** Undefined for what is no object. */
export function fieldsOf(value: unknown): Fields | undefined {
  return isRecord(value) ? value : undefined;
}

/** The object with one field otherwise; undefined takes it out. */
export function withField(fields: Fields, name: string, value: unknown): Fields {
  if (value !== undefined) return { ...fields, [name]: value };
  const { [name]: _gone, ...rest } = fields;
  return rest;
}

/** What stands at a path of fields, or undefined. */
export function at(value: unknown, ...path: readonly string[]): unknown {
  let found = value;
  for (const name of path) found = fieldsOf(found)?.[name];
  return found;
}

/** @param count of values @throws GantryError usage */
export function refuseMany(count: number): void {
  if (count <= VALUES_LIMIT) return;
  throw new GantryError("usage", TOO_MANY_VALUES, {
    hint: "No manifest needs that: send less.",
  });
}

/**
 * What is nested deeper than any manifest, or has more in it, is refused before anything walks through it.
 * @throws GantryError usage
 */
export function refuseExcess(value: unknown): void {
  let level: readonly unknown[] = [value];
  let count = 0;
  for (let depth = 0; depth <= DEPTH_LIMIT; depth += 1) {
    level = level.flatMap((one) => (typeof one === "object" && one !== null ? Object.values(one) : []));
    if (level.length === 0) return;
    count += level.length;
    refuseMany(count);
  }
  throw new GantryError("usage", `fields are nested more than ${DEPTH_LIMIT} levels deep`, {
    hint: "No manifest needs that.",
  });
}
