/** The kinds of objects that are served beside pods and events. */

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
  /** It has the subresource `scale`. */
  readonly scalable: boolean;
  readonly fields: FieldGetters<ServedObject>;
}

type Options = Partial<
  Pick<ServedKind, "version" | "shortNames" | "namespaced" | "writable" | "scalable" | "fields">
> & {
  readonly inAll?: boolean;
};

function served(group: string, plural: string, kind: string, options: Options = {}): ServedKind {
  const {
    version = "v1",
    shortNames = [],
    namespaced = true,
    writable = true,
    scalable = false,
    fields = {},
  } = options;
  return {
    group,
    version,
    plural,
    kind,
    shortNames,
    namespaced,
    writable,
    scalable,
    fields,
    categories: options.inAll === true ? ["all"] : [],
  };
}

const field =
  (...path: readonly string[]) =>
  (object: ServedObject): string =>
    textAt(object, ...path).replace("<none>", "");
const readOnly = { writable: false } as const;

/** In the order in which `kubectl get all` shows them. */
export const SERVED_KINDS: readonly ServedKind[] = [
  served("", "services", "Service", {
    ...{ shortNames: ["svc"], inAll: true },
    fields: { "spec.clusterIP": field("spec", "clusterIP"), "spec.type": field("spec", "type") },
  }),
  served("", "configmaps", "ConfigMap", { shortNames: ["cm"] }),
  served("", "secrets", "Secret", { fields: { type: field("type") } }),
  served("", "persistentvolumeclaims", "PersistentVolumeClaim", { shortNames: ["pvc"] }),
  served("", "namespaces", "Namespace", {
    ...{ shortNames: ["ns"], namespaced: false, ...readOnly },
    fields: { "status.phase": field("status", "phase") },
  }),
  served("", "nodes", "Node", {
    ...{ shortNames: ["no"], namespaced: false, ...readOnly },
    fields: { "spec.unschedulable": () => "false" },
  }),
  served("apps", "daemonsets", "DaemonSet", { shortNames: ["ds"], inAll: true }),
  served("apps", "deployments", "Deployment", { shortNames: ["deploy"], inAll: true, scalable: true }),
  served("apps", "replicasets", "ReplicaSet", { shortNames: ["rs"], inAll: true, scalable: true }),
  served("apps", "statefulsets", "StatefulSet", { shortNames: ["sts"], inAll: true, scalable: true }),
  served("apps", "controllerrevisions", "ControllerRevision", readOnly),
  served("batch", "cronjobs", "CronJob", { shortNames: ["cj"], inAll: true }),
  served("batch", "jobs", "Job", {
    inAll: true,
    fields: { "status.successful": (job) => field("status", "succeeded")(job) || "0" },
  }),
  served("discovery.k8s.io", "endpointslices", "EndpointSlice", readOnly),
  served("node.k8s.io", "runtimeclasses", "RuntimeClass", { namespaced: false }),
];

/** What is only written down has nothing that could become of it. */
const WITHOUT_STATUS: ReadonlySet<string> = new Set([
  ...["ConfigMap", "ControllerRevision", "EndpointSlice", "Event", "NodeMetrics", "PodMetrics"],
  ...["RuntimeClass", "Secret"],
]);

/** Whether it has the subresource `status`. */
export function hasStatus(kind: string): boolean {
  return !WITHOUT_STATUS.has(kind);
}
