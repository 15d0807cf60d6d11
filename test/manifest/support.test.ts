import { describe, expect, it } from "vitest";
import {
  configMap,
  cronJob,
  daemonSet,
  deployment,
  job,
  persistentVolumeClaim,
  pod,
  replicaSet,
  runtimeClass,
  secret,
  service,
  statefulSet,
} from "../../src/manifest/schema/index.ts";
import { SUPPORT } from "../../src/manifest/support/index.ts";
import type { AnyRule } from "../../src/manifest/support/rules.ts";
import { elementOf, shapeOf, unwrap } from "../../src/manifest/zod-schema.ts";

type Schema = Parameters<typeof unwrap>[0];

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
  it.each([
    ["Pod", pod],
    ["ConfigMap", configMap],
    ["Secret", secret],
    ["PersistentVolumeClaim", persistentVolumeClaim],
    ["RuntimeClass", runtimeClass],
    ["Service", service],
    ["Deployment", deployment],
    ["ReplicaSet", replicaSet],
    ["DaemonSet", daemonSet],
    ["StatefulSet", statefulSet],
    ["Job", job],
    ["CronJob", cronJob],
  ] as const)("has a rule for every field of %s", (kind, schema) => {
    expect(gaps(SUPPORT[kind], schema, kind)).toEqual([]);
  });
});
