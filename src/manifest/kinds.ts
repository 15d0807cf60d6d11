/** Which objects there are: those that Gantry reads, and what it says of all others. */
import type { z } from "zod";
import { nearestName } from "../system/nearest.ts";
import type { ManifestObject } from "./contract.ts";
import {
  customGroupOf,
  FOREIGN_KINDS,
  foreignKind,
  type InertKind,
  isInert,
  noEffectText,
  toolFile,
} from "./foreign-kinds.ts";
import { type Issue, show } from "./issue.ts";
import {
  configMap,
  cronJob,
  daemonSet,
  deployment,
  inertObject,
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

/** What a manifest of this kind is checked by. */
export function schemaOfKind(kind: string): z.ZodType<ManifestObject> | undefined {
  return Object.hasOwn(SUPPORTED, kind) ? SUPPORTED[kind]?.schema : undefined;
}

const ALL_KINDS: readonly string[] = [...Object.keys(SUPPORTED), "List", ...FOREIGN_KINDS];

export type KindOf =
  /** @param issue Nothing comes of it, and nothing is missing for that: a warning. */
  | { readonly type: "object"; readonly schema: z.ZodType<ManifestObject>; readonly issue?: Issue }
  | { readonly type: "list" }
  | { readonly type: "wrong"; readonly issue: Issue };

/** What kind of object a document holds, by its `kind` and `apiVersion`. */
export function kindOf(value: unknown): KindOf {
  if (!isRecord(value))
    return wrong(
      [],
      `a manifest is an object with apiVersion and kind, not ${show(value)}`,
      Array.isArray(value)
        ? "separate objects with '---', or make them the items of a List"
        : "start with 'apiVersion: v1'",
    );
  const { kind, apiVersion } = value;
  const tool = toolFile(value);
  if (tool !== undefined) return wrong([], tool.message, tool.hint);
  if (kind === undefined) {
    const near = nearestName("kind", Object.keys(value));
    if (near === undefined && apiVersion === undefined) {
      const hint = "start it with apiVersion and kind; a file of another kind belongs in another folder";
      return wrong([], "this is no manifest: it has neither apiVersion nor kind", hint);
    }
    return wrong(
      ["kind"],
      "is required",
      near === undefined ? "e.g. 'kind: Pod'" : `did you mean 'kind' by '${near}'?`,
    );
  }
  if (typeof kind !== "string") return wrong(["kind"], `must be a string, not ${show(kind)}`, "e.g. 'kind: Pod'");
  if (customGroupOf(apiVersion) !== undefined) return otherKind(kind, value);
  const supported = Object.hasOwn(SUPPORTED, kind) ? SUPPORTED[kind] : undefined;
  const expected = kind === "List" ? "v1" : supported?.apiVersion;
  if (expected === undefined) return otherKind(kind, value);
  if (apiVersion === undefined)
    return wrong(["apiVersion"], "is required", `write 'apiVersion: ${expected}' for a ${kind}`);
  if (apiVersion !== expected) {
    return wrong(["apiVersion"], `${kind} has no version ${show(apiVersion)} here`, `write 'apiVersion: ${expected}'`);
  }
  if (kind === "List") return { type: "list" };
  return supported === undefined ? otherKind(kind, value) : { type: "object", schema: supported.schema };
}

function otherKind(kind: string, value: Readonly<Record<string, unknown>>): KindOf {
  const custom = customGroupOf(value["apiVersion"]);
  if (custom !== undefined) {
    const hint = "it is for a controller that runs in a cluster: remove it, or leave it for your clusters";
    return wrong(["kind"], `${kind} of ${custom} is not an object of Kubernetes itself`, hint);
  }
  if (isInert(kind)) return withoutEffect(kind, value);
  const foreign = foreignKind(kind);
  if (foreign !== undefined) return wrong(["kind"], `${kind} is not supported`, foreign.hint);
  const item = kind.endsWith("List") ? kind.slice(0, -"List".length) : "";
  if (Object.hasOwn(SUPPORTED, item))
    return wrong(["kind"], `${kind} is not supported`, "write 'kind: List', and apiVersion and kind in each item");
  const near = nearestName(kind, ALL_KINDS);
  const known = Object.keys(SUPPORTED).join(", ");
  return wrong(
    ["kind"],
    `unknown kind ${show(kind)}`,
    near === undefined ? `Gantry knows ${known} and List` : `did you mean '${near}'?`,
  );
}

function withoutEffect(kind: InertKind, { apiVersion }: Readonly<Record<string, unknown>>): KindOf {
  if (apiVersion === undefined) {
    const { group = "", version = "v1" } = foreignKind(kind)?.api ?? {};
    const expected = group === "" ? version : `${group}/${version}`;
    return wrong(["apiVersion"], "is required", `write 'apiVersion: ${expected}' for a ${kind}`);
  }
  const hint = foreignKind(kind)?.hint;
  const issue: Issue = { severity: "warning", path: ["kind"], message: noEffectText(kind), hint };
  return { type: "object", schema: inertObject(kind), issue };
}

function wrong(path: readonly string[], message: string, hint: string): KindOf {
  return { type: "wrong", issue: { severity: "error", path, message, hint } };
}
