/** Which objects there are: those that Gantry reads, those that come later, and those that it never will. */
import type { z } from "zod";
import { nearestName } from "../system/nearest.ts";
import type { ManifestObject } from "./contract.ts";
import { type Issue, show } from "./issue.ts";
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
} from "./schema/index.ts";
import { isRecord } from "./yaml/plain.ts";

interface Kind {
  readonly apiVersion: string;
  readonly schema: z.ZodType<ManifestObject>;
}

const SUPPORTED: Readonly<Record<string, Kind>> = {
  Pod: { apiVersion: "v1", schema: pod },
  ConfigMap: { apiVersion: "v1", schema: configMap },
  Secret: { apiVersion: "v1", schema: secret },
  PersistentVolumeClaim: { apiVersion: "v1", schema: persistentVolumeClaim },
  RuntimeClass: { apiVersion: "node.k8s.io/v1", schema: runtimeClass },
  Service: { apiVersion: "v1", schema: service },
  Deployment: { apiVersion: "apps/v1", schema: deployment },
  ReplicaSet: { apiVersion: "apps/v1", schema: replicaSet },
  DaemonSet: { apiVersion: "apps/v1", schema: daemonSet },
  StatefulSet: { apiVersion: "apps/v1", schema: statefulSet },
  Job: { apiVersion: "batch/v1", schema: job },
  CronJob: { apiVersion: "batch/v1", schema: cronJob },
};

/** Kinds that people have lying next to their pods, and what to do instead. */
const FOREIGN: Readonly<Record<string, string>> = {
  Ingress: "publish a port of the pod with hostPort",
  Namespace: "namespaces need no manifest: write metadata.namespace in the objects",
  ReplicationController: "write a Deployment",
  PersistentVolume: "write a PersistentVolumeClaim: its volume is made by itself",
  StorageClass: "remove it: a PersistentVolumeClaim needs none here",
  ServiceAccount: "pods here talk to no API server: remove it",
  Role: "pods here talk to no API server: remove it",
  RoleBinding: "pods here talk to no API server: remove it",
  ClusterRole: "pods here talk to no API server: remove it",
  ClusterRoleBinding: "pods here talk to no API server: remove it",
  NetworkPolicy:
    "nothing here would enforce it: every pod of this host reaches every other. Remove it, and let what must not be reached listen on 127.0.0.1 in its pod",
  HorizontalPodAutoscaler: "remove it, and set replicas in the Deployment",
  PodDisruptionBudget: "remove it",
  LimitRange: "set resources in each pod",
  ResourceQuota: "set resources in each pod",
  CustomResourceDefinition: "remove it",
};

const ALL_KINDS: readonly string[] = [...Object.keys(SUPPORTED), "List", ...Object.keys(FOREIGN)];

export type KindOf =
  | { readonly type: "object"; readonly schema: z.ZodType<ManifestObject> }
  | { readonly type: "list" }
  | { readonly type: "wrong"; readonly issue: Issue };

/** What kind of object a document holds, by its `kind` and `apiVersion`. */
export function kindOf(value: unknown): KindOf {
  if (!isRecord(value))
    return wrong(
      [],
      `a manifest is an object with apiVersion and kind, not ${show(value)}`,
      "start with 'apiVersion: v1'",
    );
  const { kind, apiVersion } = value;
  if (kind === undefined) {
    const near = nearestName("kind", Object.keys(value));
    return wrong(
      ["kind"],
      "is required",
      near === undefined ? "e.g. 'kind: Pod'" : `did you mean 'kind' by '${near}'?`,
    );
  }
  if (typeof kind !== "string") return wrong(["kind"], `must be a string, not ${show(kind)}`, "e.g. 'kind: Pod'");
  const supported = Object.hasOwn(SUPPORTED, kind) ? SUPPORTED[kind] : undefined;
  const expected = kind === "List" ? "v1" : supported?.apiVersion;
  if (expected === undefined) return unknownKind(kind);
  if (apiVersion === undefined)
    return wrong(["apiVersion"], "is required", `write 'apiVersion: ${expected}' for a ${kind}`);
  if (apiVersion !== expected) {
    return wrong(["apiVersion"], `${kind} has no version ${show(apiVersion)} here`, `write 'apiVersion: ${expected}'`);
  }
  if (kind === "List") return { type: "list" };
  if (supported === undefined)
    return wrong(["kind"], `kind ${kind} is not supported yet`, "write its pods as kind Pod");
  return { type: "object", schema: supported.schema };
}

function unknownKind(kind: string): KindOf {
  const instead = Object.hasOwn(FOREIGN, kind) ? FOREIGN[kind] : undefined;
  if (instead !== undefined) return wrong(["kind"], `kind ${kind} is not supported`, instead);
  const near = nearestName(kind, ALL_KINDS);
  const known = Object.keys(SUPPORTED).join(", ");
  return wrong(
    ["kind"],
    `unknown kind ${show(kind)}`,
    near === undefined ? `Gantry knows ${known} and List` : `did you mean '${near}'?`,
  );
}

function wrong(path: readonly string[], message: string, hint: string): KindOf {
  return { type: "wrong", issue: { severity: "error", path, message, hint } };
}
