/** Namespaces: what a server adds to them, and whether one may go. */
import type { PodObject, ServedObject } from "../api/contract.ts";
import { type Fields, fieldsOf, same, withField } from "../api/patch/plain.ts";
import { httpError } from "../api/status-error.ts";
import { GantryError } from "../system/errors.ts";

/** As Kubernetes has it: what is in a namespace has to be gone before it goes. */
export const NAMESPACE_SPEC = { finalizers: ["kubernetes"] } as const;

const NAME_LABEL = "kubernetes.io/metadata.name";

export function namespaceLabel(name: string): Readonly<Record<string, string>> {
  return { [NAME_LABEL]: name };
}

/** A Namespace as it is to be written: without what the server adds. */
export function writtenNamespace(object: Fields): Fields {
  const { spec, ...rest } = object;
  const metadata = fieldsOf(object["metadata"]) ?? {};
  const labels = withField(fieldsOf(metadata["labels"]) ?? {}, NAME_LABEL, undefined);
  const saysNothing = same(spec, NAMESPACE_SPEC) || same(spec, {}) || spec === undefined;
  return {
    ...rest,
    metadata: withField(metadata, "labels", Object.keys(labels).length === 0 ? undefined : labels),
    ...(saysNothing ? {} : { spec }),
  };
}

/** How many of what is in a namespace are named. */
const NAMED = 5;

/**
 * Kubernetes would delete all that is in a namespace; here that would be files, which nobody has named.
 * @throws GantryError conflict, forbidden
 */
export function refuseFullNamespace(name: string, all: readonly (ServedObject | PodObject)[]): void {
  if (name === "default")
    throw httpError("Forbidden", 'namespaces "default" is forbidden: this namespace may not be deleted');
  const inside = all
    .filter(({ metadata }) => metadata.namespace === name && isOfItsOwn(metadata))
    .map((object) => `${object.kind.toLowerCase()}/${object.metadata.name}`);
  if (inside.length === 0) return;
  const more = inside.length > NAMED ? ` and ${inside.length - NAMED} more` : "";
  throw new GantryError(
    "conflict",
    `namespace ${name} is not empty: it has ${inside.slice(0, NAMED).join(", ")}${more}. Their files are not deleted with it: delete them first, then the namespace (kubectl delete -f FILE --ignore-not-found, once more, does it)`,
    { hint: `See what is in it: kubectl get all,cm,secret,pvc,sa,role,rolebinding -n ${name}` },
  );
}

/** What others have made goes with them; and what is on its way out holds nobody up. */
function isOfItsOwn(metadata: ServedObject["metadata"] | PodObject["metadata"]): boolean {
  const owned = metadata.ownerReferences !== undefined && metadata.ownerReferences.length > 0;
  return !owned && !("deletionTimestamp" in metadata && metadata.deletionTimestamp !== undefined);
}
