import { readdirSync, statSync } from "node:fs";
import { isAbsent } from "./files.ts";

/** Lists directories; reads one again only when it has changed, since that takes four times as long as asking. */
export interface Folders {
  /** What is in it, except hidden files; nothing where there is no such directory. */
  entries(path: string): readonly string[];
  /** It is gone, so nobody will ask for it again. */
  forget(path: string): void;
}

/** The kernel stamps changes with the time of its last tick, at most 10 ms ago: two within one look like one. */
const TICK_MS = 100;

export function createFolders(): Folders {
  const known = new Map<
    string,
    { readonly ino: number; readonly mtimeMs: number; readonly names: readonly string[] }
  >();
  return {
    entries(path) {
      const now = Date.now();
      const stat = statSync(path, { throwIfNoEntry: false });
      const before = known.get(path);
      if (before !== undefined && before.ino === stat?.ino && before.mtimeMs === stat.mtimeMs) return before.names;
      known.delete(path);
      const names = stat === undefined ? [] : visibleIn(path);
      if (stat !== undefined && now - stat.mtimeMs > TICK_MS)
        known.set(path, { ino: stat.ino, mtimeMs: stat.mtimeMs, names });
      return names;
    },
    forget: (path) => known.delete(path),
  };
}

function visibleIn(path: string): string[] {
  try {
    return readdirSync(path).filter((name) => !name.startsWith("."));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}
