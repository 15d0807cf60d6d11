/** What zod finds, said so that it can be acted on. */
import type { z } from "zod";
import { nearestName } from "../system/nearest.ts";
import { fieldsHint, quantityHint, templateHint, typeHint, unknownFieldHint } from "./hints.ts";
import { type FieldPath, fieldName, type Issue, show, typeName } from "./issue.ts";
import { fieldsAt, type Schema } from "./zod-schema.ts";

type ZodIssue = z.core.$ZodIssue;

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
        hint: unknownFieldHint(schema, path, key, known),
        atKey: true,
        suggested: nearestName(key, known),
      }));
    }
    case "invalid_type":
      if (value === undefined) return say(REQUIRED);
      return say(
        `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}, not ${typeName(value)}`,
        typeHint(issue.expected, value, path) ?? fieldsHint(schema, path),
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
      return say(`${show(value)} ${issue.message}`, templateHint(value) ?? quantityHint(issue.message, value));
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

/** What stands at `path` in plain data, or undefined. */
export function valueAt(root: unknown, path: FieldPath): unknown {
  let value = root;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = Object.getOwnPropertyDescriptor(value, part)?.value;
  }
  return value;
}
