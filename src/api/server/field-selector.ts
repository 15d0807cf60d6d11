import { GantryError } from "../../system/errors.ts";

/** Field selectors, as in `?fieldSelector=status.phase=Running,metadata.name!=web` (apimachinery, fields.ParseSelector). Pure. */
export interface FieldRequirement {
  readonly field: string;
  readonly equal: boolean;
  readonly value: string;
}

/** The fields that objects of one kind can be chosen by. */
export type FieldGetters<T> = Readonly<Record<string, (object: T) => string>>;

export function matchesFields<T>(
  requirements: readonly FieldRequirement[],
  getters: FieldGetters<T>,
  object: T,
): boolean {
  return requirements.every(({ field, equal, value }) => (getters[field]?.(object) === value) === equal);
}

/** @param supported the fields that the kind has @throws GantryError usage */
export function parseFieldSelector(text: string, supported: readonly string[]): FieldRequirement[] {
  return splitTerms(text).map((term) => {
    const match = /^\s*([^=!\s]+)\s*(==|!=|=)([\s\S]*)$/.exec(term);
    const [, field, operator, value] = match ?? [];
    if (field === undefined || value === undefined) {
      throw bad(text, `can't understand '${term}'`, "Write it like 'status.phase=Running,metadata.name!=web'.");
    }
    if (!supported.includes(field)) {
      throw bad(text, `can't choose by the field '${field}'`, `These can be used: ${supported.join(", ")}.`);
    }
    return { field, equal: operator !== "!=", value: plainValue(text, value.trim()) };
  });
}

/** Splits at commas that no backslash stands before. */
function splitTerms(text: string): string[] {
  return (text.match(/(?:\\[\s\S]|[^,\\])+/g) ?? []).filter((term) => term.trim() !== "");
}

/** `\,`, `\=` and `\\` stand for the character itself. */
function plainValue(text: string, value: string): string {
  return value.replace(/\\([\s\S])?|=/g, (found, next: string | undefined) => {
    if (found.startsWith("\\") && next !== undefined && ",=\\".includes(next)) return next;
    throw bad(
      text,
      `'${found}' in the value '${value}' needs a backslash before it`,
      "Escape ',', '=' and '\\' with '\\'.",
    );
  });
}

function bad(text: string, why: string, hint: string): GantryError {
  return new GantryError("usage", `fieldSelector '${text}': ${why}`, { hint });
}
