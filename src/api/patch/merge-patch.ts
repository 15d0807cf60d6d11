/** JSON merge patches (RFC 7386): null takes a field out, objects are merged, everything else is replaced. Pure. */
import { define, isRecord } from "./plain.ts";

export function mergePatch(value: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(value) ? { ...value } : {};
  for (const [name, wanted] of Object.entries(patch)) {
    if (wanted === null) delete result[name];
    // `__proto__` in a patch is a field like any other.
    else define(result, name, mergePatch(result[name], wanted));
  }
  return result;
}
