/** The kinds of objects that are served beside pods and events. */

import { FOREIGN_KINDS, foreignKind, INERT_KINDS, isInert, isOfCluster } from "../../manifest/foreign-kinds.ts";
import type { ServedObject } from "../contract.ts";
import type { FieldGetters } from "./field-selector.ts";
import { textAt } from "./table/column.ts";

export interface ServedKind {
  readonly group: string;
  readonly version: string;
  readonly plural: string;
  readonly kind: string;
  readonly shortNames: readonly string[];
  readonly categories: readonly string[];
  readonly namespaced: boolean;
  /** A manifest may have it. */
  readonly writable: boolean;
  /** Of one that is not writable, or not in every way: why, and what to do instead. */
  readonly otherwise: string | undefined;
  /** It has the subresource `scale`. */
  readonly scalable: boolean;
  readonly fields: FieldGetters<ServedObject>;
}

type Options = Partial<
  Pick<ServedKind, "version" | "shortNames" | "namespaced" | "otherwise" | "scalable" | "fields">
> & {
  readonly inAll?: boolean;
};

function served(group: string, plural: string, kind: string, options: Options = {}): ServedKind {
  const { version = "v1", shortNames = [], namespaced = true, otherwise, scalable = false, fields = {} } = options;
  return {
    group,
    version,
    plural,
    kind,
    shortNames,
    namespaced,
    writable: otherwise === undefined,
    otherwise,
    scalable,
    fields,
    categories: options.inAll === true ? ["all"] : [],
  };
}

/** Kinds that nothing acts on, and that `kubectl get all` shows in a cluster. */
const IN_ALL: ReadonlySet<string> = new Set(["HorizontalPodAutoscaler"]);

const field =
  (...path: readonly string[]) =>
  (object: ServedObject): string =>
    textAt(object, ...path).replace("<none>", "");
/** What is said to whoever would write what only follows from other things. */
const NODE_IS_HOST =
  "a Node can't be written: it is this host, and there is no other one to cordon, drain, label or taint it for";
const ENDPOINTS_FOLLOW =
  "who is behind a Service can't be written: it follows from its selector and from the pods that are ready; change those";
const REVISION_FOLLOWS = "a ControllerRevision can't be written: its StatefulSet or DaemonSet keeps it";
const LEASE_FOLLOWS = "a Lease can't be written: the one of this node is kept by Gantry itself";
const VOLUME_FOLLOWS =
  "a PersistentVolume can't be written: it is made for its PersistentVolumeClaim; change or delete that, and see 'gantry volume'";

/** In the order in which `kubectl get all` shows them. */
export const SERVED_KINDS: readonly ServedKind[] = [
  served("", "services", "Service", {
    ...{ shortNames: ["svc"], inAll: true },
    fields: { "spec.clusterIP": field("spec", "clusterIP"), "spec.type": field("spec", "type") },
  }),
  served("", "configmaps", "ConfigMap", { shortNames: ["cm"] }),
  served("", "secrets", "Secret", { fields: { type: field("type") } }),
  served("", "persistentvolumeclaims", "PersistentVolumeClaim", { shortNames: ["pvc"] }),
  served("", "persistentvolumes", "PersistentVolume", {
    ...{ shortNames: ["pv"], namespaced: false, otherwise: VOLUME_FOLLOWS },
  }),
  served("", "endpoints", "Endpoints", { shortNames: ["ep"], otherwise: ENDPOINTS_FOLLOW }),
  served("", "nodes", "Node", {
    ...{ shortNames: ["no"], namespaced: false, otherwise: NODE_IS_HOST },
    fields: { "spec.unschedulable": () => "false" },
  }),
  served("apps", "daemonsets", "DaemonSet", { shortNames: ["ds"], inAll: true }),
  served("apps", "deployments", "Deployment", { shortNames: ["deploy"], inAll: true, scalable: true }),
  served("apps", "replicasets", "ReplicaSet", { shortNames: ["rs"], inAll: true, scalable: true }),
  served("apps", "statefulsets", "StatefulSet", { shortNames: ["sts"], inAll: true, scalable: true }),
  served("apps", "controllerrevisions", "ControllerRevision", { otherwise: REVISION_FOLLOWS }),
  served("batch", "cronjobs", "CronJob", { shortNames: ["cj"], inAll: true }),
  served("batch", "jobs", "Job", {
    inAll: true,
    fields: { "status.successful": (job) => field("status", "succeeded")(job) || "0" },
  }),
  served("coordination.k8s.io", "leases", "Lease", { otherwise: LEASE_FOLLOWS }),
  served("discovery.k8s.io", "endpointslices", "EndpointSlice", { otherwise: ENDPOINTS_FOLLOW }),
  served("node.k8s.io", "runtimeclasses", "RuntimeClass", { namespaced: false }),
  ...FOREIGN_KINDS.flatMap(servedForeign),
];

/**
 * What nothing acts on is kept and served as it is written. Of what is refused there is none, and to say so is what
 * clients need: `kubectl apply` tells why, `kubectl cluster-info dump` and `describe` list them.
 */
function servedForeign(kind: string): ServedKind[] {
  const foreign = foreignKind(kind);
  if (foreign?.api === undefined) return [];
  const { group, version: newest, olderVersions, plural, shortNames } = foreign.api;
  const otherwise = isInert(kind) ? undefined : `${kind} is not supported: ${foreign.hint}`;
  const fields = kind === "Namespace" ? { "status.phase": field("status", "phase") } : {};
  const options = { shortNames, namespaced: !isOfCluster(kind), otherwise, fields, inAll: IN_ALL.has(kind) };
  return [newest, ...olderVersions].map((version) => served(group, plural, kind, { ...options, version }));
}

/** What is only written down has nothing that could become of it. */
const WITHOUT_STATUS: ReadonlySet<string> = new Set([
  ...INERT_KINDS.filter((kind) => !["HorizontalPodAutoscaler", "Namespace", "PodDisruptionBudget"].includes(kind)),
  ...["ConfigMap", "Lease", "ControllerRevision", "EndpointSlice", "Event", "NodeMetrics", "PodMetrics"],
  ...["RuntimeClass", "Secret"],
]);

/** Whether it has the subresource `status`. */
export function hasStatus(kind: string): boolean {
  return !WITHOUT_STATUS.has(kind);
}
