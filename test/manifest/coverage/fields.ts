/** What becomes of every field of a Pod, from its schema, the support table and the rules of micro-VMs. Pure. */
import { pod } from "../../../src/manifest/schema/index.ts";
import { SUPPORT } from "../../../src/manifest/support/index.ts";
import type { AnyRule, Verdict } from "../../../src/manifest/support/rules.ts";
import { type RefusedValue, VM_RULES } from "../../../src/manifest/vm-refusals.ts";
import { elementOf, type Schema, shapeOf, unwrap } from "../../../src/manifest/zod-schema.ts";

export interface Coverage {
  /** "[]" stands for every entry of a list: `spec.containers[].image`. */
  readonly field: string;
  /** The fields in it are not listed: the same becomes of each. */
  readonly whole: boolean;
  readonly namespace: string;
  readonly microvm: string;
  /** Of what is not supported. */
  readonly why: string;
}

/** In the order of the table. @throws Error for a field without a rule */
export function coverage(): Coverage[] {
  const status = noted("status", true, { warning: "has no effect: Gantry sets it itself" });
  return [...inside(pod, SUPPORT.Pod, []), status];
}

/** Every field of a Pod that has no fields in it. */
export function leaves(schema: Schema = pod, path: readonly string[] = []): string[] {
  const { shape, path: at } = objectAt(schema, path);
  if (shape === undefined) return [written(path)];
  return Object.entries(shape).flatMap(([name, field]) => leaves(field, [...at, name]));
}

function inside(schema: Schema, rules: Readonly<Record<string, AnyRule>> | "supported", path: string[]): Coverage[] {
  const { shape = {}, path: at } = objectAt(schema, path);
  return Object.entries(shape).flatMap(([name, field]) => {
    const rule = rules === "supported" ? rules : rules[name];
    const here = [...at, name];
    if (rule === undefined) throw new Error(`the support table has no rule for ${written(here)}`);
    if (typeof rule === "object" && "fields" in rule) return inside(field, rule.fields, here);
    const isObject = objectAt(field, here).shape !== undefined;
    if (rule === "supported" && isObject) return inside(field, rule, here);
    return [ofRule(here, rule, isObject)];
  });
}

/** The fields of an object, or of the objects in a list, and their path. */
function objectAt(schema: Schema, path: readonly string[]) {
  const at = unwrap(schema);
  const element = at._zod.def.type === "array" ? elementOf(at) : undefined;
  return element === undefined
    ? { shape: shapeOf(at), path }
    : { shape: shapeOf(unwrap(element)), path: [...path, "[]"] };
}

function written(path: readonly string[]): string {
  return path.join(".").replaceAll(".[]", "[]");
}

function ofRule(path: readonly string[], rule: Exclude<AnyRule, { fields: unknown }>, whole: boolean): Coverage {
  const field = written(path);
  if (typeof rule === "object" && ("values" in rule || "keys" in rule)) {
    const otherwise = "values" in rule ? rule.otherwise : rule.otherwise("KEY");
    const state = `supported: ${quoted("values" in rule ? rule.values : rule.keys)}; others ${OTHERS[stateOf(otherwise)]}`;
    return withVm({ field, whole, namespace: state, microvm: state, why: whyOf(otherwise) });
  }
  if (typeof rule === "object" && "except" in rule) {
    const state = `supported; \`${rule.named}\` ${OTHERS[stateOf(rule.otherwise)]}`;
    return withVm({ field, whole, namespace: state, microvm: state, why: whyOf(rule.otherwise) });
  }
  return withVm(noted(field, whole, rule));
}

const OTHERS = { supported: "supported", warning: "with a warning", refused: "refused" } as const;

function noted(field: string, whole: boolean, verdict: Verdict): Coverage {
  return { field, whole, namespace: stateOf(verdict), microvm: stateOf(verdict), why: whyOf(verdict) };
}

function withVm(row: Coverage): Coverage {
  const found = VM_RULES.filter(({ field }) => written(field) === row.field).flatMap(({ refused }) => refused);
  if (found.length === 0) return row;
  const refused = `refused: ${found.map(named).join(", ")}`;
  const why = [...new Set(found.map((one) => one.why)), row.why].filter((text) => text !== "").join("; ");
  return { ...row, microvm: row.microvm === "supported" ? refused : `${row.microvm}; ${refused}`, why };
}

function named({ value, only }: RefusedValue): string {
  const words = value === undefined ? "any value" : quoted([value]);
  return only === undefined ? words : `${words} ${only.when}`;
}

function quoted(values: readonly unknown[]): string {
  return values.map((value) => `\`${value === "" ? '""' : String(value)}\``).join(", ");
}

function stateOf(verdict: Verdict): "supported" | "warning" | "refused" {
  if (verdict === "supported") return verdict;
  return "warning" in verdict ? "warning" : "refused";
}

function whyOf(verdict: Verdict): string {
  if (verdict === "supported") return "";
  return "warning" in verdict ? verdict.warning : verdict.refused;
}
