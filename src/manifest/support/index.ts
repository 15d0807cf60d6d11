/** Fields that are valid in Kubernetes, and what Gantry does with them. Applied to what the user wrote, without defaults. */
import type { ActiveObject, ManifestObject } from "../contract.ts";
import { isInert } from "../foreign-kinds.ts";
import type { FieldPath, Issue } from "../issue.ts";
import type { ConfigMap, PersistentVolumeClaim, RuntimeClass, Secret } from "../schema/index.ts";
import { isRecord } from "../yaml/plain.ts";
import { claimSpecRules } from "./claim.ts";
import { resourceKeys } from "./container.ts";
import { metadataRules, podRules } from "./pod.ts";
import { type AnyRule, type Fields, noEffect, oneNode, type Verdict } from "./rules.ts";
import {
  cronJobRules,
  daemonSetRules,
  deploymentRules,
  jobRules,
  replicaSetRules,
  serviceRules,
  statefulSetRules,
} from "./workload.ts";

const immutable = noEffect("the manifest is the truth, and may change");

const configMapRules: Fields<ConfigMap> = {
  apiVersion: "supported",
  binaryData: "supported",
  data: "supported",
  immutable,
  kind: "supported",
  metadata: { fields: metadataRules },
};

const secretRules: Fields<Secret> = {
  apiVersion: "supported",
  data: "supported",
  immutable,
  kind: "supported",
  metadata: { fields: metadataRules },
  stringData: "supported",
  type: "supported",
};

const claimRules: Fields<PersistentVolumeClaim> = {
  apiVersion: "supported",
  kind: "supported",
  metadata: { fields: metadataRules },
  spec: { fields: claimSpecRules },
};

const runtimeClassRules: Fields<RuntimeClass> = {
  apiVersion: "supported",
  handler: "supported",
  kind: "supported",
  metadata: { fields: metadataRules },
  overhead: { fields: { podFixed: resourceKeys("cpu", "memory") } },
  scheduling: oneNode,
};

/** The whole table, by kind. */
export const SUPPORT: Readonly<Record<ActiveObject["kind"], Readonly<Record<string, AnyRule>>>> = {
  Pod: podRules,
  ConfigMap: configMapRules,
  Secret: secretRules,
  PersistentVolumeClaim: claimRules,
  RuntimeClass: runtimeClassRules,
  Service: serviceRules,
  Deployment: deploymentRules,
  ReplicaSet: replicaSetRules,
  DaemonSet: daemonSetRules,
  StatefulSet: statefulSetRules,
  Job: jobRules,
  CronJob: cronJobRules,
};

/** Errors for fields that can't be honoured and warnings for those without effect. `value` is valid plain data. */
export function supportIssues(kind: ManifestObject["kind"], value: unknown): Issue[] {
  const issues: Issue[] = [];
  if (!isInert(kind)) walk(SUPPORT[kind], value, [], issues);
  return issues;
}

function walk(fields: Readonly<Record<string, AnyRule>>, value: unknown, path: FieldPath, issues: Issue[]): void {
  if (Array.isArray(value)) {
    for (const [index, item] of value.entries()) walk(fields, item, [...path, index], issues);
  } else if (isRecord(value)) {
    for (const [name, inner] of Object.entries(value)) {
      const rule = fields[name];
      if (rule !== undefined) apply(rule, inner, [...path, name], issues);
    }
  }
}

function apply(rule: AnyRule, value: unknown, path: FieldPath, issues: Issue[]): void {
  if (typeof rule === "string") return;
  if ("fields" in rule) walk(rule.fields, value, path, issues);
  else if ("values" in rule) judge(isOneOf(rule.values, value) ? "supported" : rule.otherwise, value, path, issues);
  else if ("keys" in rule) {
    for (const [key, inner] of isRecord(value) ? Object.entries(value) : [])
      judge(rule.keys.includes(key) ? "supported" : rule.otherwise(key), inner, [...path, key], issues);
  } else if ("except" in rule) {
    for (const [key, inner] of isRecord(value) ? Object.entries(value) : [])
      judge(rule.except.test(key) ? rule.otherwise : "supported", inner, [...path, key], issues);
  } else judge(rule, value, path, issues);
}

/** The value, or every one in the list. */
function isOneOf(values: readonly unknown[], value: unknown): boolean {
  return Array.isArray(value) ? value.every((one) => values.includes(one)) : values.includes(value);
}

function judge(verdict: Verdict, value: unknown, path: FieldPath, issues: Issue[]): void {
  // What only says "no" asks for nothing, as charts write it: false, "", [] and, where nothing is made of it, {}.
  if (verdict === "supported" || value === false || value === "" || (Array.isArray(value) && value.length === 0))
    return;
  if ("warning" in verdict && isRecord(value) && Object.keys(value).length === 0) return;
  if ("warning" in verdict) issues.push({ severity: "warning", path, message: verdict.warning, atKey: true });
  else issues.push({ severity: "error", path, message: verdict.refused, hint: "remove it", atKey: true });
}
