import type { ApiClient } from "../api/client.ts";
import type { ServedObject } from "../api/contract.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import { nearestName } from "../system/nearest.ts";
import { type Namespaces, parsePodRef } from "./parse/pod-name.ts";

/** A kind of object beside pods, and how people name it. */
export interface ObjectKind {
  readonly kind: string;
  /** With its group: "apps/deployments". */
  readonly plural: string;
  readonly names: readonly string[];
}

export const OBJECT_KINDS: readonly ObjectKind[] = [
  { kind: "Deployment", plural: "apps/deployments", names: ["deployment", "deployments", "deploy"] },
  { kind: "StatefulSet", plural: "apps/statefulsets", names: ["statefulset", "statefulsets", "sts"] },
  { kind: "DaemonSet", plural: "apps/daemonsets", names: ["daemonset", "daemonsets", "ds"] },
  { kind: "ReplicaSet", plural: "apps/replicasets", names: ["replicaset", "replicasets", "rs"] },
  { kind: "Job", plural: "batch/jobs", names: ["job", "jobs"] },
  { kind: "CronJob", plural: "batch/cronjobs", names: ["cronjob", "cronjobs", "cj"] },
  { kind: "Service", plural: "services", names: ["service", "services", "svc"] },
];

/** Not among those that are shown with their pods: 'gantry volume' shows what there is of it. */
export const CLAIM_KIND: ObjectKind = {
  kind: "PersistentVolumeClaim",
  plural: "persistentvolumeclaims",
  names: ["persistentvolumeclaim", "persistentvolumeclaims", "pvc"],
};

export interface ObjectRef {
  readonly kind: ObjectKind;
  readonly namespace: string;
  readonly name: string;
}

/**
 * Reads KIND/NAME; undefined when the first part names no kind, so that it is a pod.
 * @param where what -n said, and what else there is to know
 * @param kinds that the command is for
 * @throws GantryError `usage` for a name that can't be one
 */
export function parseObjectRef(
  text: string,
  where: string | undefined | Namespaces,
  kinds: readonly ObjectKind[] = OBJECT_KINDS,
): ObjectRef | undefined {
  const [first = "", ...rest] = text.split("/");
  const kind = kinds.find(({ names }) => names.includes(first.toLowerCase()));
  if (kind === undefined || rest.length === 0) return undefined;
  const ref = parsePodRef(rest.join("/"), where);
  return { kind, namespace: ref.namespace, name: ref.name };
}

/** @param kinds that the command is for @throws GantryError `usage`, naming the kinds */
export function requireObjectRef(
  text: string,
  where: string | undefined | Namespaces,
  kinds: readonly string[],
): ObjectRef {
  const ref = parseObjectRef(text, where);
  if (ref !== undefined && kinds.includes(ref.kind.kind)) return ref;
  const known = kinds.map((kind) => `${kind.toLowerCase()}/NAME`).join(" or ");
  throw new GantryError("usage", `'${text}' is not what this is for`, { hint: `Write ${known}.` });
}

/** @throws GantryError `not-found` with the nearest name */
export async function getObject(client: ApiClient, ref: ObjectRef): Promise<ServedObject> {
  try {
    return await client.getObject(ref.kind.plural, ref.namespace, ref.name);
  } catch (error) {
    if (!isGantryError(error, "not-found")) throw error;
    const { items } = await client.listObjects(ref.kind.plural, { namespace: ref.namespace });
    const near = nearestName(
      ref.name,
      items.map(({ metadata }) => metadata.name),
    );
    const word = ref.kind.kind.toLowerCase();
    throw new GantryError("not-found", `there is no ${word} '${ref.name}' in namespace '${ref.namespace}'`, {
      hint: near === undefined ? "'gantry status' lists what there is." : `Did you mean '${word}/${near}'?`,
    });
  }
}

/** Everything that keeps pods or names them, children apart; none where the daemon is older than these kinds. */
export async function listObjects(client: ApiClient, namespace: string | undefined): Promise<ServedObject[]> {
  const scope = namespace === undefined ? {} : { namespace };
  const lists = await Promise.all(OBJECT_KINDS.map(({ plural }) => client.listObjects(plural, scope)));
  return lists.flatMap(({ items }) => items);
}

export function labelOf({ kind, metadata }: ServedObject): string {
  return `${kind.toLowerCase()}/${metadata.name}`;
}

/** A whole number out of spec or status; 0 when it is not there. */
export function numberOf(record: Readonly<Record<string, unknown>> | undefined, field: string, otherwise = 0): number {
  const value = record?.[field];
  return typeof value === "number" ? value : otherwise;
}

export interface ShownCondition {
  readonly type: string;
  readonly status: string;
  readonly reason: string;
  readonly message: string;
}

export function conditionsOf({ status }: ServedObject): ShownCondition[] {
  const list: unknown = status?.["conditions"];
  if (!Array.isArray(list)) return [];
  return list.map((one: unknown) => {
    const text = (name: string): string => {
      const value: unknown = typeof one === "object" && one !== null ? Reflect.get(one, name) : undefined;
      return typeof value === "string" ? value : "";
    };
    return { type: text("type"), status: text("status"), reason: text("reason"), message: text("message") };
  });
}
