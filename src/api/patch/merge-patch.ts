/** JSON merge patches (RFC 7386): null takes a field out, objects are merged, everything else is replaced. Pure. */
import { isRecord } from "./plain.ts";

export function mergePatch(value: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: Record<string, unknown> = isRecord(value) ? { ...value } : {};
  for (const [name, wanted] of Object.entries(patch)) {
    if (wanted === null) delete result[name];
    else define(result, name, mergePatch(result[name], wanted));
  }
  return result;
}

/** `__proto__` in a patch is a field like any other. */
function define(record: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(record, name, { value, enumerable: true, configurable: true, writable: true });
}
