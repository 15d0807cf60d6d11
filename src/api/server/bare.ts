/** An object without what only the server writes. Pure. */
import { type Fields, fieldsOf, isRecord } from "../patch/plain.ts";

/** What kubectl leaves with an object that it has applied; it is kept apart from the manifest. */
export const LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration";

const OWN_ANNOTATIONS: ReadonlySet<string> = new Set([
  "gantry.dev/manifest",
  "gantry.dev/runtime-class",
  "gantry.dev/warnings",
  "gantry.dev/sandbox",
  "gantry.dev/signed-by",
  "gantry.dev/auto-update-status",
  "deployment.kubernetes.io/revision",
  LAST_APPLIED,
]);

const SERVER_META: ReadonlySet<string> = new Set([
  "creationTimestamp",
  "deletionGracePeriodSeconds",
  "deletionTimestamp",
  "generateName",
  "generation",
  "managedFields",
  "resourceVersion",
  "selfLink",
  "uid",
]);

/** Fields that kubectl writes though nothing is in them, and that say nothing then. */
const EMPTY_SAYS_NOTHING: ReadonlySet<string> = new Set(["resources", "strategy", "updateStrategy", "securityContext"]);

/** Annotations that only the server writes. */
export function ownAnnotations(annotations: unknown): Fields {
  const entries = Object.entries(fieldsOf(annotations) ?? {});
  return Object.fromEntries(entries.filter(([name]) => name !== LAST_APPLIED && OWN_ANNOTATIONS.has(name)));
}

export function withoutServerFields(object: Fields): Fields {
  const { status: _status, metadata, ...rest } = object;
  const entries = Object.entries(fieldsOf(metadata) ?? {}).filter(([name]) => !SERVER_META.has(name));
  const { annotations, ...kept } = Object.fromEntries(entries);
  const own = Object.entries(fieldsOf(annotations) ?? {}).filter(([name]) => !OWN_ANNOTATIONS.has(name));
  const head = { ...kept, ...(own.length > 0 && { annotations: Object.fromEntries(own) }) };
  return fieldsOf(withoutNothing({ ...rest, metadata: head })) ?? {};
}

/** Null is no value; and `creationTimestamp: null` in a template is Go's way to write that there is none. */
function withoutNothing(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutNothing);
  if (!isRecord(value)) return value;
  const entries = Object.entries(value).filter(([name, one]) => {
    if (one === null || one === undefined) return false;
    return !(EMPTY_SAYS_NOTHING.has(name) && isRecord(one) && Object.keys(one).length === 0);
  });
  return Object.fromEntries(entries.map(([name, one]) => [name, withoutNothing(one)]));
}
