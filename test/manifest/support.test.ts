import { describe, expect, it } from "vitest";
import { schemaOfKind } from "../../src/manifest/kinds.ts";
import { SUPPORT } from "../../src/manifest/support/index.ts";
import type { AnyRule } from "../../src/manifest/support/rules.ts";
import { elementOf, type Schema, shapeOf, unwrap } from "../../src/manifest/zod-schema.ts";

/** Fields of the schema for which the table has no rule, and rules for fields that there are not. */
function gaps(rules: Readonly<Record<string, AnyRule>>, schema: Schema, path: string): string[] {
  const at = unwrap(schema);
  const shape = shapeOf(at) ?? shapeOf(unwrap(elementOf(at) ?? at)) ?? {};
  const missing = Object.keys(shape)
    .filter((name) => rules[name] === undefined)
    .map((name) => `${path}.${name}: no rule`);
  const extra = Object.keys(rules)
    .filter((name) => shape[name] === undefined)
    .map((name) => `${path}.${name}: no field`);
  const inner = Object.entries(rules).flatMap(([name, rule]) => {
    const field = shape[name];
    return typeof rule === "object" && "fields" in rule && field !== undefined
      ? gaps(rule.fields, field, `${path}.${name}`)
      : [];
  });
  return [...missing, ...extra, ...inner];
}

describe("support table", () => {
  it.each(Object.entries(SUPPORT))("has a rule for every field of %s", (kind, rules) => {
    const schema = schemaOfKind(kind);
    expect(schema && gaps(rules, schema, kind)).toEqual([]);
  });
});
