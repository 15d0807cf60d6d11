import { isDeepStrictEqual } from "node:util";

/**
 * Whether `actual` is as a case expects it:
 * - "/…/" a text that fits the regular expression; any other text or number: the same
 * - "* text" a text that contains this
 * - null: there is none
 * - { gt: n }, { lt: n }: a number above, below
 * - a list: the same length, each as expected; an object: each of its keys as expected, others may be there
 * @returns undefined, or what differs and where
 */
export function mismatch(actual: unknown, expected: unknown, at = ""): string | undefined {
  const differs = (): string => `${at || "it"} is ${shown(actual)}, expected ${shown(expected)}`;
  if (expected === null) return actual === undefined || actual === null ? undefined : differs();
  if (typeof expected === "string") {
    const text = typeof actual === "number" || typeof actual === "boolean" ? String(actual) : actual;
    if (typeof text !== "string") return differs();
    const [, pattern] = /^\/(.*)\/$/s.exec(expected) ?? [];
    if (pattern !== undefined) return new RegExp(pattern).test(text) ? undefined : differs();
    if (expected.startsWith("* ")) return text.includes(expected.slice(2)) ? undefined : differs();
    return text === expected ? undefined : differs();
  }
  if (typeof expected !== "object") return isDeepStrictEqual(actual, expected) ? undefined : differs();
  if (typeof actual === "number") return inRange(actual, expected) ? undefined : differs();
  if (typeof actual !== "object" || actual === null) return differs();
  if (Array.isArray(expected) && (!Array.isArray(actual) || actual.length !== expected.length)) return differs();
  for (const [key, value] of Object.entries(expected)) {
    const found = mismatch(Reflect.get(actual, key), value, at === "" ? key : `${at}.${key}`);
    if (found !== undefined) return found;
  }
  return undefined;
}

function inRange(actual: number, range: object): boolean {
  const { gt, lt } = range as { readonly gt?: number; readonly lt?: number };
  return (gt !== undefined || lt !== undefined) && actual > (gt ?? -Infinity) && actual < (lt ?? Infinity);
}

function shown(value: unknown): string {
  return (JSON.stringify(value) ?? "absent").slice(0, 800);
}
