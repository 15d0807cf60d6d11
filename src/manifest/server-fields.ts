/** What is done to an object before it is validated and after: the API server's own fields, and stringData. */
import type { ManifestObject } from "./contract.ts";
import type { Issue } from "./issue.ts";
import type { Secret } from "./schema/index.ts";
import { isRecord } from "./yaml/plain.ts";

/** Written by the API server: they are in what `kubectl get -o yaml` prints and mean nothing in a manifest. */
const SERVER_FIELDS = [
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "generation",
  "managedFields",
  "resourceVersion",
  "selfLink",
  "uid",
] as const;

/** The object without what only a server writes, and a warning for each that had a value. */
export function cleaned(value: unknown): { readonly value: unknown; readonly issues: readonly Issue[] } {
  if (!isRecord(value)) return { value, issues: [] };
  const issues: Issue[] = [];
  const { status, ...rest } = value;
  if (!saysNothing(status)) issues.push(ignored(["status"]));
  const { metadata } = rest;
  if (!isRecord(metadata) || !SERVER_FIELDS.some((field) => field in metadata)) return { value: rest, issues };
  const kept = { ...metadata };
  for (const field of SERVER_FIELDS) {
    if (!Object.hasOwn(kept, field)) continue;
    delete kept[field];
    issues.push(ignored(["metadata", field]));
  }
  return { value: { ...rest, metadata: kept }, issues };
}

/** What `kubectl create --dry-run` writes: nothing, or objects of nothing. */
function saysNothing(value: unknown): boolean {
  return value === undefined || (isRecord(value) && Object.values(value).every(saysNothing));
}

function ignored(path: readonly string[]): Issue {
  return { severity: "warning", path, message: "is ignored: Gantry sets it itself", hint: "remove it", atKey: true };
}

/** A valid object in its final form: the stringData of a Secret becomes data, which it overrides. */
export function finished(object: ManifestObject): ManifestObject {
  if (object.kind !== "Secret" || object.stringData === undefined) return object;
  const { stringData, ...rest } = object;
  const encoded = Object.entries(stringData).map(([key, text]) => [key, Buffer.from(text).toString("base64")] as const);
  const folded: Secret = { ...rest, data: { ...rest.data, ...Object.fromEntries(encoded) } };
  return folded;
}
