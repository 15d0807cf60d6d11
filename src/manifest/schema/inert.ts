/** Objects that are kept and shown, and that nothing acts on: their metadata is checked, what else is in them is kept as it is. */
import { z } from "zod";
import { type InertKind, isOfCluster } from "../foreign-kinds.ts";
import { dnsLabel, pathName, someText } from "./fields.ts";
import { type ClusterMeta, clusterMeta, type ObjectMeta, objectMeta } from "./meta.ts";

export interface InertObject {
  readonly apiVersion: string;
  readonly kind: InertKind;
  readonly metadata: ObjectMeta | ClusterMeta;
}

/** What names the roles of RBAC: more than a DNS name may have ("system:node"). */
const NAMED_FREELY: ReadonlySet<string> = new Set(["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]);

const made = new Map<InertKind, z.ZodType<InertObject>>();

export function inertObject(kind: InertKind): z.ZodType<InertObject> {
  const known = made.get(kind);
  if (known !== undefined) return known;
  const schema = z.looseObject({ apiVersion: someText, kind: z.literal(kind), metadata: metadataOf(kind) });
  made.set(kind, schema);
  return schema;
}

function metadataOf(kind: InertKind): z.ZodType<ObjectMeta | ClusterMeta> {
  const usual = isOfCluster(kind) ? clusterMeta : objectMeta;
  if (kind === "Namespace") return clusterMeta.extend({ name: dnsLabel });
  return NAMED_FREELY.has(kind) ? usual.extend({ name: pathName }) : usual;
}
