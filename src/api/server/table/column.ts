/** One column of the tables that `kubectl get` prints. */
export interface Column {
  readonly name: string;
  /** Default: string. */
  readonly type?: "string" | "integer" | "boolean";
  /** Columns from 1 up are only shown with -o wide. */
  readonly priority?: 0 | 1;
  readonly description?: string;
  /** @param now ms since the epoch */
  readonly cell: (object: unknown, now: number) => string | number | boolean;
}

import { at, fieldsOf } from "../../patch/plain.ts";

export const NONE = "<none>";

/** The text that stands at a path; `<none>` for nothing. */
export function textAt(object: unknown, ...path: readonly string[]): string {
  const value = at(object, ...path);
  return value === undefined || value === null || value === "" ? NONE : String(value);
}

export function numberAt(object: unknown, ...path: readonly string[]): number {
  const value = at(object, ...path);
  return typeof value === "number" ? value : 0;
}

export function listAt(object: unknown, ...path: readonly string[]): readonly unknown[] {
  const value = at(object, ...path);
  return Array.isArray(value) ? value : [];
}

export function namesAt(object: unknown, ...path: readonly string[]): readonly string[] {
  return Object.keys(fieldsOf(at(object, ...path)) ?? {});
}

export const nameColumn: Column = { name: "Name", cell: (object) => textAt(object, "metadata", "name") };
export const ageColumn: Column = {
  name: "Age",
  cell: (object, now) => since(at(object, "metadata", "creationTimestamp"), now),
};

/** How long ago a time was, as kubectl prints it. */
export function since(time: unknown, now: number): string {
  const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
  return Number.isNaN(at) ? "<unknown>" : duration(now - at);
}

/** k8s.io/apimachinery/pkg/util/duration, HumanDuration. @param ms */
export function duration(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return pair(minutes, "m", seconds % 60, "s");
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return pair(hours, "h", minutes % 60, "m");
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (hours < 192) return pair(days, "d", hours % 24, "h");
  if (days < 730) return `${days}d`;
  const years = Math.floor(days / 365);
  return days < 8 * 365 ? pair(years, "y", days % 365, "d") : `${years}y`;
}

function pair(large: number, largeUnit: string, small: number, smallUnit: string): string {
  return small === 0 ? `${large}${largeUnit}` : `${large}${largeUnit}${small}${smallUnit}`;
}

/** A label selector on one line, as metav1.FormatLabelSelector writes it. */
export function selectorText(selector: unknown): string {
  const labels = Object.entries(fieldsOf(at(selector, "matchLabels")) ?? {}).map(
    ([key, value]) => `${key}=${String(value)}`,
  );
  const more = listAt(selector, "matchExpressions").map((one) => {
    const [key, operator] = [textAt(one, "key"), textAt(one, "operator")];
    const values = `(${listAt(one, "values").map(String).sort().join(",")})`;
    if (operator === "Exists") return key;
    return operator === "DoesNotExist" ? `!${key}` : `${key} ${operator.toLowerCase()} ${values}`;
  });
  const all = [...labels.sort(), ...more];
  return all.length === 0 ? NONE : all.join(",");
}

/** Containers and images of a pod template, for -o wide. */
export function podColumns(...path: readonly string[]): readonly Column[] {
  const each = (object: unknown, field: string): string =>
    listAt(object, ...path, "containers")
      .map((container) => textAt(container, field))
      .join(",");
  return [
    { name: "Containers", priority: 1, cell: (object) => each(object, "name") },
    { name: "Images", priority: 1, cell: (object) => each(object, "image") },
  ];
}

/** The columns of each kind. */
export type Columns = Readonly<Record<string, readonly Column[]>>;

/** A column of the number at a path, 0 for none. */
export const count = (name: string, ...path: readonly string[]): Column => ({
  name,
  type: "integer",
  cell: (object) => numberAt(object, ...path),
});
/** A column of the text at a path. */
export const text = (name: string, ...path: readonly string[]): Column => ({
  name,
  cell: (object) => textAt(object, ...path),
});
/** Only shown with -o wide. */
export const wide = (column: Column): Column => ({ ...column, priority: 1 });
/** Of the pods that something makes. */
export const template = podColumns("spec", "template", "spec");
export const selector: Column = {
  name: "Selector",
  priority: 1,
  cell: (object) => selectorText(at(object, "spec", "selector")),
};

export function orEmpty(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

export function sinceOrNone(time: unknown, now: number): string {
  return time === undefined ? NONE : since(time, now);
}

/** "a=b,c=d" in order; `<none>` for none. */
export function labelsText(labels: unknown): string {
  const all = Object.entries(fieldsOf(labels) ?? {}).map(([key, value]) => `${key}=${String(value)}`);
  return all.length === 0 ? NONE : all.sort().join(",");
}

/** The first `most` of them, and how many more there are. */
export function joined(parts: readonly string[], most: number, empty: string): string {
  if (parts.length === 0) return empty;
  return parts.length <= most ? parts.join(",") : `${parts.slice(0, most).join(",")} + ${parts.length - most} more...`;
}
