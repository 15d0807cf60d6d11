/** Kinds of objects that people keep next to their pods and that Gantry does not act on: what becomes of each. Pure. */
import { isRecord } from "./yaml/plain.ts";

/** How the API calls a kind that nothing acts on. */
export interface ApiNames {
  /** "" for the core. */
  readonly group: string;
  /** The version that is asked for first. */
  readonly version: string;
  /** Versions that older clients ask for, too. */
  readonly olderVersions: readonly string[];
  readonly plural: string;
  readonly shortNames: readonly string[];
}

interface ForeignKind {
  /** Accepted with this warning: without the object, everything here is and does the same. */
  readonly noEffect?: string;
  /** What to do instead. */
  readonly hint: string;
  /** It belongs to the whole cluster, not to a namespace. */
  readonly ofCluster?: true;
  /** Where clients look for it; those that are not accepted are answered with an empty list, and with the hint. */
  readonly api?: ApiNames;
}

/** @param collection "rbac.authorization.k8s.io/v1/roles" */
function at(collection: string, shortNames: readonly string[] = [], ...olderVersions: readonly string[]) {
  const [plural = "", version = "", group = ""] = collection.split("/").reverse();
  return { api: { group, version, olderVersions, plural, shortNames } };
}

const remove = "remove it, or leave it for your clusters";
const noApi = { noEffect: "pods here talk to no API server", hint: remove };
const ofCluster = { ofCluster: true } as const;
const noGate = {
  hint: "nothing here asks a webhook or a policy about a manifest: remove it",
  ofCluster: true,
} as const;
const serversOwn = { hint: "a server writes it by itself: remove it" };
const RBAC = "rbac.authorization.k8s.io/v1";

interface InertKindFacts extends ForeignKind {
  readonly noEffect: string;
  readonly api: ApiNames;
}

/** Where nothing would change if the object were left out, it is accepted, so that a whole application is one file here, too. */
const INERT = {
  ClusterRole: { ...noApi, ...ofCluster, ...at(`${RBAC}/clusterroles`) },
  ClusterRoleBinding: { ...noApi, ...ofCluster, ...at(`${RBAC}/clusterrolebindings`) },
  HorizontalPodAutoscaler: {
    noEffect: "the number of pods is the replicas of their Deployment or StatefulSet",
    hint: "set replicas there; gantry scale changes it",
    ...at("autoscaling/v2/horizontalpodautoscalers", ["hpa"], "v1"),
  },
  IngressClass: {
    ...{ noEffect: "nothing here acts on an Ingress", hint: remove, ...ofCluster },
    ...at("networking.k8s.io/v1/ingressclasses"),
  },
  Namespace: {
    noEffect: "a namespace is there as soon as an object names it",
    hint: "write metadata.namespace in the objects",
    ...ofCluster,
    ...at("v1/namespaces", ["ns"]),
  },
  PodDisruptionBudget: {
    ...{ noEffect: "there is only this node, and nobody drains it", hint: remove },
    ...at("policy/v1/poddisruptionbudgets", ["pdb"], "v1beta1"),
  },
  PriorityClass: {
    ...{ noEffect: "there is only this node", hint: remove, ...ofCluster },
    ...at("scheduling.k8s.io/v1/priorityclasses", ["pc"]),
  },
  Role: { ...noApi, ...at(`${RBAC}/roles`) },
  RoleBinding: { ...noApi, ...at(`${RBAC}/rolebindings`) },
  ServiceAccount: {
    ...{ ...noApi, hint: "write its imagePullSecrets, if it has any, in the pods" },
    ...at("v1/serviceaccounts", ["sa"]),
  },
  StorageClass: {
    noEffect: "all volumes are files of this host",
    hint: "a claim says by its own what becomes of its data: storageClassName gantry-retain or gantry-delete",
    ...ofCluster,
    ...at("storage.k8s.io/v1/storageclasses", ["sc"]),
  },
} as const satisfies Readonly<Record<string, InertKindFacts>>;

/** A kind of object that is kept and shown, and that nothing acts on. */
export type InertKind = keyof typeof INERT;

export const INERT_KINDS: readonly InertKind[] = Object.keys(INERT).filter(isInert);

export function isInert(kind: string): kind is InertKind {
  return Object.hasOwn(INERT, kind);
}

/** Where leaving the object out would change who can reach a pod, what it may use or what data it sees, it is refused. */
const REFUSED: Readonly<Record<string, ForeignKind>> = {
  APIService: noGate,
  Binding: serversOwn,
  CertificateSigningRequest: { hint: "there is no API server here to sign it: remove it", ofCluster: true },
  ComponentStatus: serversOwn,
  ControllerRevision: serversOwn,
  CustomResourceDefinition: { hint: "no controller here would act on its objects: remove it", ofCluster: true },
  CSIDriver: { hint: "volumes of storage systems are not mounted here: remove it", ofCluster: true },
  DeviceClass: { hint: "resource claims are not supported: remove it", ofCluster: true },
  Endpoints: { hint: "a Service finds its pods by its selector; for hosts outside use hostAliases" },
  EndpointSlice: { hint: "a Service finds its pods by its selector; for hosts outside use hostAliases" },
  Event: serversOwn,
  Ingress: {
    hint: "publish a port of the pod with hostPort, or run a proxy as a pod",
    ...at("networking.k8s.io/v1/ingresses", ["ing"]),
  },
  Lease: serversOwn,
  LimitRange: { hint: "set resources in each pod", ...at("v1/limitranges", ["limits"]) },
  MutatingWebhookConfiguration: noGate,
  NetworkPolicy: {
    hint: "every pod of this host reaches every other, also what it should close: remove it only if that is what you want",
    ...at("networking.k8s.io/v1/networkpolicies", ["netpol"]),
  },
  Node: { ...serversOwn, ofCluster: true },
  PersistentVolume: {
    hint: "write a PersistentVolumeClaim, whose volume is made by itself; for a directory of this host use hostPath",
    ofCluster: true,
  },
  PodSecurityPolicy: { hint: "set securityContext in each pod", ofCluster: true },
  PodTemplate: { hint: "write a Deployment" },
  ReplicationController: { hint: "write a Deployment", ...at("v1/replicationcontrollers", ["rc"]) },
  ResourceClaim: { hint: "resource claims are not supported: remove it" },
  ResourceClaimTemplate: { hint: "resource claims are not supported: remove it" },
  ResourceQuota: { hint: "set resources in each pod", ...at("v1/resourcequotas", ["quota"]) },
  ValidatingAdmissionPolicy: noGate,
  ValidatingAdmissionPolicyBinding: noGate,
  ValidatingWebhookConfiguration: noGate,
};

const FOREIGN: Readonly<Record<string, ForeignKind>> = { ...INERT, ...REFUSED };

export const FOREIGN_KINDS: readonly string[] = Object.keys(FOREIGN);

export function foreignKind(kind: string): ForeignKind | undefined {
  return Object.hasOwn(FOREIGN, kind) ? FOREIGN[kind] : undefined;
}

/** "ServiceAccount has no effect: pods here talk to no API server" */
export function noEffectText(kind: InertKind): string {
  return `${kind} has no effect: ${INERT[kind].noEffect}`;
}

/** Of which there is one in the whole cluster by each name. */
export function isOfCluster(kind: string): boolean {
  return kind === "RuntimeClass" || foreignKind(kind)?.ofCluster === true;
}

/**
 * "monitoring.coreos.com" of an object that only a controller of somebody else's understands, else undefined.
 * Kubernetes' own groups are single words, or end in k8s.io.
 */
export function customGroupOf(apiVersion: unknown): string | undefined {
  if (typeof apiVersion !== "string") return undefined;
  const slash = apiVersion.indexOf("/");
  const group = slash < 0 ? "" : apiVersion.slice(0, slash);
  return !group.includes(".") || /^[a-z]+(\.authorization)?\.k8s\.io$/.test(group) ? undefined : group;
}

/** A kustomization.yaml may leave out what it is. */
const KUSTOMIZE_LISTS: readonly string[] = ["resources", "bases", "patches", "components", "configMapGenerator"];

/** Files of the tools around Kubernetes that are no manifests themselves: what makes manifests of them. */
export function toolFile(value: Readonly<Record<string, unknown>>): { message: string; hint: string } | undefined {
  const { apiVersion, kind } = value;
  const kustomize = typeof apiVersion === "string" && apiVersion.startsWith("kustomize.config.k8s.io/");
  const withoutHead = apiVersion === undefined && kind === undefined;
  if (kustomize || (withoutHead && KUSTOMIZE_LISTS.some((name) => Array.isArray(value[name]))))
    return {
      message: "this is a file for kustomize, not a manifest",
      hint: "build it, and give what comes out: kubectl kustomize DIR | gantry validate -",
    };
  if (typeof apiVersion === "string" && apiVersion.startsWith("kind.x-k8s.io/"))
    return { message: "this is a file for kind, not a manifest", hint: "keep it out of this folder" };
  if (kind === "Config" && apiVersion === "v1" && Object.hasOwn(value, "clusters"))
    return { message: "this is a kubeconfig, not a manifest", hint: "keep it out of this folder" };
  if (kind !== undefined) return undefined;
  if (isRecord(value["services"]) && withoutHead)
    return {
      message: "this is a Compose file, not a manifest",
      hint: "kompose convert makes manifests of it",
    };
  if ((apiVersion === "v1" || apiVersion === "v2") && Object.hasOwn(value, "version") && Object.hasOwn(value, "name"))
    return {
      message: "this is the Chart.yaml of a Helm chart, not a manifest",
      hint: "render the chart, and give what comes out: helm template NAME DIR | gantry validate -",
    };
  return undefined;
}
