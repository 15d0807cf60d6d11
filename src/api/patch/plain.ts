/** Plain JSON data, as patches work on it. Pure. */
import { isDeepStrictEqual } from "node:util";
import { isRecord } from "../../manifest/yaml/plain.ts";

export type Fields = Readonly<Record<string, unknown>>;

export { isRecord };

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
