/** Checks of a container's environment. */

import { nearestName } from "../../system/nearest.ts";
import type { FieldPath } from "../issue.ts";
import { parseQuantity } from "../quantity.ts";
import type { Container, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector } from "../schema/index.ts";
import type { Report } from "./index.ts";

const SOURCES = ["configMapKeyRef", "fieldRef", "fileKeyRef", "resourceFieldRef", "secretKeyRef"] as const;

export function validateEnv(container: Container, path: FieldPath, report: Report): void {
  for (const [index, variable] of (container.env ?? []).entries()) {
    const at = [...path, "env", index];
    if (variable.valueFrom === undefined) continue;
    if (variable.value !== undefined && variable.value !== "")
      report([...at, "valueFrom"], "can't be together with value", "keep one of them");
    validateSource(variable.valueFrom, [...at, "valueFrom"], report);
  }
  for (const [index, source] of (container.envFrom ?? []).entries()) {
    const at = [...path, "envFrom", index];
    if (source.configMapRef === undefined && source.secretRef === undefined)
      report(at, "must say from what: configMapRef or secretRef");
    if (source.configMapRef !== undefined && source.secretRef !== undefined)
      report([...at, "secretRef"], "can't be together with configMapRef", "make two entries");
  }
}

function validateSource(source: EnvVarSource, path: FieldPath, report: Report): void {
  const given = SOURCES.filter((name) => source[name] !== undefined);
  const [first, second] = given;
  if (first === undefined) report(path, `must say from what: one of ${SOURCES.join(", ")}`);
  if (second !== undefined) report([...path, second], `can't be together with ${first}`, "keep one of them");
  if (source.fieldRef !== undefined) validateFieldRef(source.fieldRef, [...path, "fieldRef"], report);
  if (source.resourceFieldRef !== undefined)
    validateResourceRef(source.resourceFieldRef, [...path, "resourceFieldRef"], report);
}

const FIELDS = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];

/** What the files of volumes can have: what is known before the pod has an address, and labels and annotations as a whole. */
export const VOLUME_FIELDS = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "metadata.labels",
  "metadata.annotations",
];

/** @param fields those that can be had here, beside single labels and annotations */
export function validateFieldRef(
  ref: ObjectFieldSelector,
  path: FieldPath,
  report: Report,
  fields: readonly string[] = FIELDS,
): void {
  if (ref.apiVersion !== "v1") report([...path, "apiVersion"], `${JSON.stringify(ref.apiVersion)} is not "v1"`);
  const { fieldPath } = ref;
  if (fields.includes(fieldPath) || /^metadata\.(labels|annotations)\['[^']+'\]$/.test(fieldPath)) return;
  const near = nearestName(fieldPath, fields);
  const known = `known are ${fields.join(", ")}, metadata.labels['KEY'] and metadata.annotations['KEY']`;
  report(
    [...path, "fieldPath"],
    `${JSON.stringify(fieldPath)} is no field that ${fields === FIELDS ? "a variable" : "a volume"} can take`,
    near === undefined ? known : `did you mean '${near}'?`,
  );
}

const RESOURCES = [
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
];
const CPU_DIVISORS = ["1", "1m"];
const BYTE_DIVISORS = ["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"];

export function validateResourceRef(ref: ResourceFieldSelector, path: FieldPath, report: Report): void {
  if (!RESOURCES.includes(ref.resource) && !/^(limits|requests)\.hugepages-.+$/.test(ref.resource)) {
    const near = nearestName(ref.resource, RESOURCES);
    report(
      [...path, "resource"],
      `${JSON.stringify(ref.resource)} is no resource field`,
      near === undefined ? `known are ${RESOURCES.join(", ")}` : `did you mean '${near}'?`,
    );
    return;
  }
  if (ref.resource.endsWith("ephemeral-storage") || ref.resource.includes("hugepages-")) {
    report([...path, "resource"], `${ref.resource} is not supported yet`, "limits and requests of cpu and memory are");
    return;
  }
  const allowed = ref.resource.endsWith(".cpu") ? CPU_DIVISORS : BYTE_DIVISORS;
  const divisor = parseQuantity(ref.divisor);
  if (!allowed.some((text) => parseQuantity(text) === divisor))
    report([...path, "divisor"], `${ref.divisor} is not one of ${allowed.join(", ")}`);
}
