/**
 * How the lists of Kubernetes' published types are merged: by which field their entries are told apart
 * (`x-kubernetes-patch-merge-key`, `x-kubernetes-list-map-keys` of its OpenAPI documents). Pure.
 */

/** The names of the fields that lead to a value; entries of lists count for nothing. */
export type FieldNames = readonly string[];

export interface ListType {
  /** For strategic merge patches; undefined: entries are plain values, merged as a set. */
  readonly mergeKey?: string;
  /** For server-side apply: what makes an entry the same one. */
  readonly keys: readonly string[];
}

const by = (mergeKey: string, ...more: readonly string[]): ListType => ({ mergeKey, keys: [mergeKey, ...more] });

/** Lists that are not named here are atomic: a patch replaces them. */
const LISTS: Readonly<Record<string, ListType>> = {
  conditions: by("type"),
  containers: by("name"),
  containerStatuses: { keys: [] },
  env: by("name"),
  ephemeralContainers: by("name"),
  finalizers: { keys: [] },
  hostAliases: by("ip"),
  imagePullSecrets: by("name"),
  initContainers: by("name"),
  ownerReferences: by("uid"),
  podIPs: by("ip"),
  resourceClaims: by("name"),
  schedulingGates: by("name"),
  secrets: by("name"),
  topologySpreadConstraints: by("topologyKey", "whenUnsatisfiable"),
  volumeDevices: by("devicePath"),
  volumeMounts: by("mountPath"),
  volumes: by("name"),
};

const ATOMIC_UNDER: ReadonlySet<string> = new Set(["valueFrom", "securityContext"]);

/** @returns undefined for a list that is replaced as a whole */
export function listTypeOf(path: FieldNames): ListType | undefined {
  const name = path.at(-1) ?? "";
  const parent = path.at(-2) ?? "";
  if (name === "ports") {
    if (CONTAINER_LISTS.has(parent)) return by("containerPort", "protocol");
    // Of a Service; those of an EndpointSlice are atomic.
    return parent === "spec" ? by("port", "protocol") : undefined;
  }
  if (name === "finalizers" && parent !== "metadata") return undefined;
  if (ATOMIC_UNDER.has(parent)) return undefined;
  const found = Object.hasOwn(LISTS, name) ? LISTS[name] : undefined;
  return found?.keys.length === 0 && name !== "finalizers" ? undefined : found;
}

const CONTAINER_LISTS: ReadonlySet<string> = new Set(["containers", "initContainers", "ephemeralContainers"]);

/** Values that an apply owns as a whole, though they are objects (`x-kubernetes-map-type: atomic`). */
export function isAtomicMap(path: FieldNames): boolean {
  const name = path.at(-1) ?? "";
  if (name === "selector") return true;
  return ["configMapKeyRef", "secretKeyRef", "fieldRef", "resourceFieldRef", "secretRef", "nodeSelector"].includes(
    name,
  );
}

/** Defaults of the fields that tell entries apart: an entry that leaves them out means these. */
export const KEY_DEFAULTS: Readonly<Record<string, unknown>> = { protocol: "TCP" };
