import { GantryError } from "../../system/errors.ts";

/**
 * Label selectors, as Kubernetes writes them in `?labelSelector=` (apimachinery, labels.Parse):
 * `a=b`, `a==b`, `a!=b`, `a in (b,c)`, `a notin (b,c)`, `a`, `!a`, `a>1`, `a<1`; a comma means "and". Pure.
 */
export type LabelRequirement =
  | { readonly key: string; readonly operator: "in" | "notin"; readonly values: readonly string[] }
  | { readonly key: string; readonly operator: "exists" | "absent" }
  | { readonly key: string; readonly operator: "above" | "below"; readonly value: number };

type Labels = Readonly<Record<string, string>>;

/** An object without the key fulfils `notin` and `!=`, as in Kubernetes. */
export function matchesLabels(requirements: readonly LabelRequirement[], labels: Labels): boolean {
  return requirements.every((requirement) => fulfils(requirement, labels));
}

function fulfils(requirement: LabelRequirement, labels: Labels): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case "in":
      return value !== undefined && requirement.values.includes(value);
    case "notin":
      return value === undefined || !requirement.values.includes(value);
    case "exists":
      return value !== undefined;
    case "absent":
      return value === undefined;
    case "above":
      return isInteger(value) && Number(value) > requirement.value;
    case "below":
      return isInteger(value) && Number(value) < requirement.value;
  }
}

/** @throws GantryError usage, naming the place in the selector that can't be understood */
export function parseLabelSelector(text: string): LabelRequirement[] {
  const tokens = tokenize(text);
  const requirements: LabelRequirement[] = [];
  if (tokens.length === 0) return requirements;
  let at = 0;
  const next = (): string | undefined => tokens[at++];
  const expect = (wanted: string): void => {
    const found = next();
    if (found !== wanted) throw bad(text, `expected '${wanted}' but found ${quoted(found)}`);
  };
  const readValue = (): string => {
    // An empty value is written as nothing: "a=" or "a in (,b)".
    const token = tokens[at];
    if (token === undefined || token === "," || token === ")") return "";
    at += 1;
    return checkValue(text, token);
  };
  const readSet = (): string[] => {
    expect("(");
    const values = [readValue()];
    while (tokens[at] === ",") {
      at += 1;
      values.push(readValue());
    }
    expect(")");
    return values;
  };
  const readNumber = (): number => {
    const value = readValue();
    if (!isInteger(value)) throw bad(text, `'${value}' is not a whole number`);
    return Number(value);
  };
  const readRequirement = (): LabelRequirement => {
    if (tokens[at] === "!") {
      at += 1;
      return { key: checkKey(text, next()), operator: "absent" };
    }
    const key = checkKey(text, next());
    const operator = tokens[at];
    if (operator === undefined || operator === ",") return { key, operator: "exists" };
    at += 1;
    switch (operator) {
      case "=":
      case "==":
        return { key, operator: "in", values: [readValue()] };
      case "!=":
        return { key, operator: "notin", values: [readValue()] };
      case "in":
      case "notin":
        return { key, operator, values: readSet() };
      case ">":
        return { key, operator: "above", value: readNumber() };
      case "<":
        return { key, operator: "below", value: readNumber() };
      default:
        throw bad(text, `'${operator}' is not an operator`);
    }
  };
  requirements.push(readRequirement());
  while (at < tokens.length) {
    expect(",");
    requirements.push(readRequirement());
  }
  return requirements;
}

const TOKEN = /\s*(==|!=|[=!<>(),]|[^\s=!<>(),]+)/y;

function tokenize(text: string): string[] {
  const tokens: string[] = [];
  const rest = text.trimEnd();
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < rest.length) {
    const match = TOKEN.exec(rest);
    if (match?.[1] === undefined) break;
    tokens.push(match[1]);
  }
  return tokens;
}

const NAME = /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/;
const PREFIX = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;

function checkKey(text: string, key: string | undefined): string {
  const parts = (key ?? "").split("/");
  const name = parts.at(-1) ?? "";
  const prefix = parts.length === 2 ? parts[0] : undefined;
  const good = parts.length <= 2 && NAME.test(name) && (prefix === undefined || PREFIX.test(prefix));
  if (key === undefined || !good) throw bad(text, `${quoted(key)} is not a label key`);
  return key;
}

function checkValue(text: string, value: string): string {
  if (!NAME.test(value)) throw bad(text, `'${value}' is not a label value`);
  return value;
}

function isInteger(value: string | undefined): value is string {
  return value !== undefined && /^-?\d+$/.test(value);
}

function quoted(token: string | undefined): string {
  return token === undefined ? "the end" : `'${token}'`;
}

function bad(text: string, why: string): GantryError {
  return new GantryError("usage", `labelSelector '${text}': ${why}`, {
    hint: "Write it like 'app=web,tier in (a,b),!legacy'.",
  });
}
