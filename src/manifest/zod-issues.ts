/** What zod finds, said so that it can be acted on. */

import type { z } from "zod";
import { nearestName } from "../system/nearest.ts";
import { type FieldPath, fieldName, type Issue, nearestHint, show, typeName } from "./issue.ts";

type ZodIssue = z.core.$ZodIssue;
type Schema = z.core.$ZodType;

/** The issues of `schema` in `input`; none when it is valid. */
export function issuesOf(error: z.ZodError, schema: Schema, input: unknown): Issue[] {
  const issues = error.issues.flatMap((issue) => translate(issue, schema, input));
  // A misspelt field is missing under its right name as well: that is one mistake.
  const meant = new Set(
    issues.map((issue) =>
      issue.suggested === undefined ? "" : fieldName([...issue.path.slice(0, -1), issue.suggested]),
    ),
  );
  return issues.filter((issue) => issue.message !== REQUIRED || !meant.has(fieldName(issue.path)));
}

const REQUIRED = "is required";

interface Translated extends Issue {
  /** The field that was probably meant. */
  readonly suggested?: string | undefined;
}

function translate(issue: ZodIssue, schema: Schema, input: unknown): Translated[] {
  const path = issue.path.map((part) => (typeof part === "number" ? part : String(part)));
  const value = valueAt(input, path);
  const say = (message: string, hint?: string): Translated[] => [{ severity: "error", path, message, hint }];
  switch (issue.code) {
    case "unrecognized_keys": {
      const known = fieldsAt(schema, path);
      return issue.keys.map((key) => ({
        severity: "error",
        path: [...path, key],
        message: `unknown field '${key.length > 60 ? `${key.slice(0, 57)}...` : key}'`,
        hint: nearestHint(key, known, "the fields here are"),
        atKey: true,
        suggested: nearestName(key, known),
      }));
    }
    case "invalid_type":
      if (value === undefined) return say(REQUIRED);
      return say(
        `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, not ${typeName(value)}`,
        typeHint(issue.expected, value),
      );
    case "invalid_value": {
      const allowed = issue.values.map(String);
      if (value === undefined) return say(REQUIRED, `one of: ${allowed.map(show).join(", ")}`);
      const close = typeof value === "string" ? nearestName(value, allowed) : undefined;
      return say(
        `${show(value)} is not one of ${allowed.map(show).join(", ")}`,
        close === undefined ? undefined : `did you mean '${close}'?`,
      );
    }
    case "too_small":
      if (issue.origin === "array") return say("must have at least one entry");
      return say(`${show(value)} is too small: the least is ${issue.minimum}`);
    case "too_big":
      return say(`${show(value)} is too large: the most is ${issue.maximum}`);
    case "invalid_key":
      return issue.issues.map((inner) => ({
        severity: "error",
        path,
        message: `the key ${show(path.at(-1))} ${inner.message}`,
        atKey: true,
      }));
    case "custom":
      if (value === undefined) return say(REQUIRED);
      return say(`${show(value)} ${issue.message}`);
    case "invalid_format":
    case "not_multiple_of":
    case "invalid_union":
    case "invalid_element":
      return say(`${show(value)} ${issue.message}`);
  }
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "a string",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  object: "an object",
  record: "an object",
  array: "a list",
};

function typeHint(expected: string, value: unknown): string | undefined {
  if (expected === "string" && (typeof value === "number" || typeof value === "boolean"))
    return `put it in quotes: "${value}"`;
  if (expected === "boolean" && typeof value === "string") {
    if (/^(true|yes|on|y)$/i.test(value)) return "write true, without quotes";
    if (/^(false|no|off|n)$/i.test(value)) return "write false, without quotes";
  }
  if ((expected === "int" || expected === "number") && typeof value === "string" && /^-?\d+$/.test(value))
    return "remove the quotes";
  if (expected === "array") return "start each entry with '- '";
  return undefined;
}

/** What stands at `path` in plain data, or undefined. */
export function valueAt(root: unknown, path: FieldPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Object.getOwnPropertyDescriptor(value, part)?.value;
  }
  return value;
}

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
