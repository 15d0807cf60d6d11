/** The order between pods: which wait for which, and whether that can ever come true. Pure. */

/**
 * The first circle that a pod is part of: ["default/a", "default/b", "default/a"].
 * @param of the keys that a pod depends on; none for a pod that is not there
 */
export function cycleFrom(start: string, of: (key: string) => readonly string[]): string[] | undefined {
  const seen = new Set<string>();
  const path: string[] = [];
  const visit = (key: string): boolean => {
    path.push(key);
    for (const next of of(key)) {
      if (next === start) return true;
      if (seen.has(next)) continue;
      seen.add(next);
      if (visit(next)) return true;
    }
    path.pop();
    return false;
  };
  return visit(start) ? [...path, start] : undefined;
}

/** How a pod that another one waits for stands. */
export type Standing = "missing" | "unready" | "ready";

/** What a pod still waits for, as a sentence; undefined when it may start. */
export function waitingFor(keys: readonly string[], standingOf: (key: string) => Standing): string | undefined {
  const waits = keys.flatMap((key) => {
    const standing = standingOf(key);
    return standing === "ready" ? [] : [`pod ${key}, which ${WORDS[standing]}`];
  });
  return waits.length === 0 ? undefined : `waits for ${waits.join(", and for ")}`;
}

const WORDS: Readonly<Record<Exclude<Standing, "ready">, string>> = {
  missing: "does not exist",
  unready: "is not ready",
};
