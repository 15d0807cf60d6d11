import { distance } from "fastest-levenshtein";

/** The one of `known` that `word` is most likely meant to be, when one is near enough to be a slip. */
export function nearestName(word: string, known: readonly string[]): string | undefined {
  if (word.length > 100) return undefined;
  const lower = word.toLowerCase();
  const limit = word.length < 4 ? 1 : word.length < 9 ? 2 : 3;
  let best: string | undefined;
  let bestDistance = limit + 1;
  for (const name of known) {
    if (Math.abs(name.length - word.length) >= bestDistance) continue;
    const far = distance(lower, name.toLowerCase());
    if (far < bestDistance) [best, bestDistance] = [name, far];
  }
  // A name that was cut short: terminationGracePeriod.
  return best ?? (word.length < 6 ? undefined : known.find((name) => name.toLowerCase().startsWith(lower)));
}
