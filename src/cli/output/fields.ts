import { oneLine, printable } from "./text.ts";

/** A label and its value; a value of several lines stands below one another; undefined leaves the line out. */
export type Field = readonly [label: string, value: string | readonly string[] | undefined];

/**
 * "Label:   value" lines with the values under each other, as `kubectl describe` prints them.
 * @param indent spaces before each line
 */
export function renderFields(fields: readonly Field[], indent = 0): string[] {
  const shown = fields.filter((field) => field[1] !== undefined);
  const width = Math.max(...shown.map(([label]) => label.length), 0) + 3;
  const margin = " ".repeat(indent);
  return shown.flatMap(([label, value]) => {
    const lines = typeof value === "string" ? printable(value).split("\n") : (value ?? []).map(oneLine);
    const [first = "<none>", ...rest] = lines;
    return [
      `${margin}${`${label}:`.padEnd(width)}${first}`.trimEnd(),
      ...rest.map((line) => `${margin}${" ".repeat(width)}${line}`.trimEnd()),
    ];
  });
}

/** "a=1" lines of a map, by key; "<none>" for an empty one. */
export function pairs(map: Readonly<Record<string, string>> | undefined): string[] {
  const lines = Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`);
  return lines.length === 0 ? ["<none>"] : lines;
}
