/** A finding about a field, before it is known where in which file the field stands. Pure. */

import { nearestName } from "../system/nearest.ts";

export type FieldPath = readonly (string | number)[];

export interface Issue {
  readonly severity: "error" | "warning";
  readonly path: FieldPath;
  readonly message: string;
  readonly hint?: string | undefined;
  /** Points at the name of the field instead of its value. */
  readonly atKey?: boolean | undefined;
}

/** Of one object: more than these nobody reads. */
export const TOLD_ISSUES = 50;

/** `spec.containers[0].image`; names that are no plain words are quoted: `metadata.labels["a.b/c"]`. */
export function fieldName(path: FieldPath): string {
  let name = "";
  for (const part of path) {
    if (typeof part === "number") name += `[${part}]`;
    else if (/^[A-Za-z_][\w-]*$/.test(part)) name += name === "" ? part : `.${part}`;
    else name += `[${JSON.stringify(part.length > 80 ? `${part.slice(0, 77)}...` : part)}]`;
  }
  return name;
}

const SHOWN = 60;

/** A value as it can stand in a message: one line, shortened. */
export function show(value: unknown): string {
  if (value === undefined) return "nothing";
  if (value === null) return "an empty value";
  if (Array.isArray(value)) return value.length === 0 ? "an empty list" : "a list";
  if (typeof value === "object") return "an object";
  if (typeof value !== "string") return String(value);
  return JSON.stringify(value.length > SHOWN ? `${value.slice(0, SHOWN - 3)}...` : value);
}

/** The type of a value in the words of a message. */
export function typeName(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `the string ${show(value)}`;
    case "number":
    case "bigint":
      return `the number ${value}`;
    case "boolean":
      return `the boolean ${value}`;
    default:
      return show(value);
  }
}

/** "did you mean 'image'?", or what is known when that is short, or undefined. */
export function nearestHint(word: string, known: readonly string[], what: string): string | undefined {
  const found = nearestName(word, known);
  if (found !== undefined) return `did you mean '${found}'?`;
  return known.length > 0 && known.length <= 12 ? `${what}: ${known.join(", ")}` : undefined;
}
