/** What a PersistentVolumeClaim asks for. Pure. */
import { parseBytes } from "./quantity.ts";
import type { ClaimSpec, PersistentVolumeClaim } from "./schema/index.ts";

export const RECLAIM_ANNOTATION = "gantry.dev/reclaim-policy";
export type ReclaimPolicy = "Retain" | "Delete";

const CLASSES: Readonly<Record<string, ReclaimPolicy>> = { "gantry-retain": "Retain", "gantry-delete": "Delete" };
/** Names of storage classes that say what becomes of a volume without its claim. */
export const STORAGE_CLASSES: readonly string[] = Object.keys(CLASSES);

export function isOwnStorageClass(name: string): boolean {
  return Object.hasOwn(CLASSES, name);
}

export const ACCESS_MODES = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"] as const;

export function isReclaimPolicy(text: string): text is ReclaimPolicy {
  return text === "Retain" || text === "Delete";
}

/** What becomes of the data when nobody claims it any more: the annotation, else the storage class, else it is kept. */
export function reclaimPolicyOf({ metadata, spec }: Pick<PersistentVolumeClaim, "metadata" | "spec">): ReclaimPolicy {
  const asked = metadata.annotations?.[RECLAIM_ANNOTATION];
  if (asked !== undefined && isReclaimPolicy(asked)) return asked;
  const name = spec.storageClassName ?? "";
  return (isOwnStorageClass(name) ? CLASSES[name] : undefined) ?? "Retain";
}

/** The size asked for, in bytes; 0 when it is not said. */
export function requestedBytes({ resources }: ClaimSpec): number {
  const text = resources?.requests?.["storage"];
  return (text === undefined ? undefined : parseBytes(text)) ?? 0;
}

/** Only one pod at a time may have it. */
export function isForOnePod({ accessModes = [] }: ClaimSpec): boolean {
  return accessModes.includes("ReadWriteOncePod");
}

/** Nobody may write to it. */
export function isReadOnly({ accessModes = [] }: ClaimSpec): boolean {
  return accessModes.length > 0 && accessModes.every((mode) => mode === "ReadOnlyMany");
}
