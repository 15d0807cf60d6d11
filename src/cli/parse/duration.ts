import { GantryError } from "../../system/errors.ts";

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Reads a duration the way kubectl writes them: 30s, 5m, 1h30m, 1.5h, 250ms; days (2d) too. "0" needs no unit.
 *
 * @param what the flag it came from, for the error
 * @returns ms, rounded
 * @throws GantryError `usage`
 */
export function parseDurationMs(text: string, what: string): number {
  if (text === "0") return 0;
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)(ms|s|m|h|d)/g)];
  const whole = parts.map((part) => part[0]).join("");
  if (parts.length > 0 && whole === text) {
    let total = 0;
    for (const [, amount, unit] of parts) total += Number(amount) * (UNIT_MS[unit ?? ""] ?? Number.NaN);
    if (Number.isSafeInteger(Math.round(total))) return Math.round(total);
  }
  const bare = /^\d+(\.\d+)?$/.test(text);
  throw new GantryError("usage", `${what} '${text}' ${bare ? "has no unit" : "is not a duration"}`, {
    hint: bare ? `Say what it counts: ${what} ${text}s` : `Write a duration like 30s, 5m or 1h30m.`,
  });
}
