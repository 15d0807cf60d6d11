/** What a zod schema says about the structure of data. Pure. */
import type { z } from "zod";
import type { FieldPath } from "./issue.ts";

export type Schema = z.core.$ZodType;

/** The fields that the object at `path` may have. */
export function fieldsAt(schema: Schema, path: FieldPath): string[] {
  let at = unwrap(schema);
  for (const part of path) {
    const inner: Schema | undefined = childOf(at, part);
    if (inner === undefined) return [];
    at = unwrap(inner);
  }
  return Object.keys(shapeOf(at) ?? {});
}

/** The schema that holds the structure, without optional, default and transform around it. */
export function unwrap(schema: Schema): Schema {
  const { def } = schema._zod;
  if ("innerType" in def && isSchema(def.innerType)) return unwrap(def.innerType);
  if (def.type === "pipe" && "in" in def && isSchema(def.in)) return unwrap(def.in);
  return schema;
}

/** The fields of an object schema. */
export function shapeOf(schema: Schema): Readonly<Record<string, Schema>> | undefined {
  const { def } = schema._zod;
  return def.type === "object" && "shape" in def && isShape(def.shape) ? def.shape : undefined;
}

/** The schema of a list's entries or of a map's values. */
export function elementOf(schema: Schema): Schema | undefined {
  const { def } = schema._zod;
  if ("element" in def && isSchema(def.element)) return def.element;
  return "valueType" in def && isSchema(def.valueType) ? def.valueType : undefined;
}

function childOf(schema: Schema, part: string | number): Schema | undefined {
  return shapeOf(schema)?.[part] ?? elementOf(schema);
}

function isSchema(value: unknown): value is Schema {
  return typeof value === "object" && value !== null && "_zod" in value;
}

function isShape(value: unknown): value is Readonly<Record<string, Schema>> {
  return typeof value === "object" && value !== null && Object.values(value).every(isSchema);
}
