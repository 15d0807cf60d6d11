/** What the support table says of a field, in a sentence for `kubectl explain`. Pure. */
import { SUPPORT } from "../../manifest/support/index.ts";
import type { AnyRule, Verdict } from "../../manifest/support/rules.ts";

/** The rules of the fields of an object; undefined where nothing more is to be said of them. */
export type RulesAt = Readonly<Record<string, AnyRule>> | undefined;

export function rulesOfKind(kind: string): RulesAt {
  return Object.entries(SUPPORT).find(([name]) => name === kind)?.[1];
}

export function rulesInside(rules: RulesAt, field: string): RulesAt {
  const rule = rules?.[field];
  return typeof rule === "object" && "fields" in rule ? rule.fields : undefined;
}

/** undefined for what is supported without conditions. */
export function verdictText(rules: RulesAt, field: string): string | undefined {
  const rule = rules?.[field];
  if (rule === undefined || rule === "supported" || "fields" in rule) return undefined;
  if ("values" in rule) return `Here: ${rule.values.join(", ")}; another value ${inWords(rule.otherwise)}.`;
  if ("keys" in rule) return `Here: ${rule.keys.join(", ")}.`;
  if ("except" in rule) return `Here: all but ${rule.named}, which ${inWords(rule.otherwise)}.`;
  return `Here it ${inWords(rule)}.`;
}

function inWords(verdict: Exclude<Verdict, "supported">): string {
  return "refused" in verdict ? `is refused: ${verdict.refused}` : verdict.warning;
}
