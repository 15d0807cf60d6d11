/**
 * Carries a change of an object as it is served (with defaults filled in) over to the object as it is written: what
 * the change leaves alone stays as it is written, or unwritten. Pure.
 */
import { isDeepStrictEqual } from "node:util";
import { define, isRecord } from "../manifest/yaml/plain.ts";

/**
 * @param written as the file has it; undefined where it has nothing
 * @param before as it was served @param after as it is to be served
 * @returns what the file is to have
 */
export function carryOver(written: unknown, before: unknown, after: unknown): unknown {
  if (isDeepStrictEqual(before, after)) return written;
  if (isRecord(before) && isRecord(after)) return carryRecord(isRecord(written) ? written : {}, before, after);
  if (Array.isArray(before) && Array.isArray(after)) {
    const list: readonly unknown[] = Array.isArray(written) ? written : [];
    const counterparts = align(before, after);
    return after.map((entry, index) => {
      const place = counterparts[index];
      return place === undefined || list[place] === undefined ? entry : carryOver(list[place], before[place], entry);
    });
  }
  return after;
}

function carryRecord(
  written: Readonly<Record<string, unknown>>,
  before: Readonly<Record<string, unknown>>,
  after: Readonly<Record<string, unknown>>,
): Record<string, unknown> {
  const result: Record<string, unknown> = { ...written };
  for (const name of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (!Object.hasOwn(after, name) || after[name] === undefined) {
      delete result[name];
      continue;
    }
    const value = Object.hasOwn(before, name) ? carryOver(written[name], before[name], after[name]) : after[name];
    if (value === undefined) delete result[name];
    else define(result, name, value);
  }
  return result;
}

/** Fields that tell the entries of a list apart, the better ones first. */
const KEYS = ["name", "mountPath", "devicePath", "containerPort", "port", "ip", "key", "topologyKey"] as const;

/** For each entry of `after` its counterpart in `before`: an equal one, one of the same name, or one at the same place. */
export function align(before: readonly unknown[], after: readonly unknown[]): (number | undefined)[] {
  const free = new Set(before.keys());
  const take = (found: number | undefined): number | undefined => {
    if (found !== undefined) free.delete(found);
    return found;
  };
  const result = after.map((entry) => take([...free].find((index) => isDeepStrictEqual(before[index], entry))));
  const named = result.map((found, at) => found ?? take([...free].find((index) => sameName(before[index], after[at]))));
  if (before.length !== after.length) return named;
  return named.map((found, at) => found ?? (free.has(at) && !isNamed(after[at]) ? take(at) : undefined));
}

function sameName(a: unknown, b: unknown): boolean {
  if (!isRecord(a) || !isRecord(b)) return false;
  const key = KEYS.find((name) => a[name] !== undefined && b[name] !== undefined);
  return key !== undefined && a[key] === b[key];
}

function isNamed(value: unknown): boolean {
  return isRecord(value) && KEYS.some((name) => value[name] !== undefined);
}
