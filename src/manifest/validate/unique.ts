/** Finding what may be there only once. */
import type { FieldPath } from "../issue.ts";
import type { Report } from "./index.ts";

/** Reports every second appearance of a key in a list; entries without a key are passed over. */
export function unique<T>(
  items: readonly T[],
  base: FieldPath,
  key: (item: T) => string | undefined,
  field: string,
  report: Report,
  what: string,
): void {
  const seen = new Set<string>();
  for (const [index, item] of items.entries()) {
    const name = key(item);
    if (name === undefined) continue;
    if (seen.has(name))
      report([...base, index, field], `${what} ${JSON.stringify(name)} is there twice`, "each must be unique");
    seen.add(name);
  }
}
