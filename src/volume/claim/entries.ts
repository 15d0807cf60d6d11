/** What `gantry volume` shows. Pure. */
import { formatBytes } from "../../bytes.ts";
import { reclaimPolicyOf, requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import type { ClaimVolume, VolumeEntry, WantedClaims } from "./contract.ts";
import { imageBytes, lackOfRoom } from "./image.ts";

/**
 * Volumes and claims together, by namespace and name.
 * @param freeBytes that are free on their disk
 */
export function volumeEntries(
  volumes: readonly ClaimVolume[],
  { claims, doubt }: WantedClaims,
  freeBytes: number,
): VolumeEntry[] {
  const made = new Map(volumes.map((volume) => [`${volume.namespace}/${volume.name}`, volume]));
  const pending = [...claims].flatMap(([key, claim]) => (made.has(key) ? [] : [pendingEntry(claim, freeBytes)]));
  const bound = [...made].map(([key, { lost, failed, ...volume }]): VolumeEntry => {
    const claim = claims.get(key);
    const requested = claim === undefined ? undefined : requestedBytes(claim.spec);
    const problem =
      (lost === undefined || volume.pods.length === 0 ? lost : `${lost}; ${RESCUE}`) ??
      (failed ? FAILED : requested === undefined ? keptFor(volume, doubt) : sizeProblem(volume, requested, freeBytes));
    const phase = lost !== undefined ? "Lost" : claim === undefined ? "Released" : "Bound";
    // A round that is to come forgets that it was gone.
    const deletesAt = claim === undefined && doubt === undefined ? volume.deletesAt : undefined;
    return { ...volume, phase, requestedBytes: requested, deletesAt, problem };
  });
  return [...pending, ...bound].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

const FAILED =
  "its file system met an error (it is damaged, or the host's disk is full) and lets nobody write: once no pod has it any more, it is checked and mended before the next mount";

const RESCUE = "the pods that have it may still see it: copy what is in it before they end";

/** Why a volume that would go by its policy is kept. */
function keptFor({ reclaimPolicy }: Pick<ClaimVolume, "reclaimPolicy">, doubt: string | undefined): string | undefined {
  return reclaimPolicy === "Retain" || doubt === undefined ? undefined : `it is kept for now: ${doubt}`;
}

function pendingEntry(claim: PersistentVolumeClaim, free: number): VolumeEntry {
  const { metadata, spec } = claim;
  const requested = requestedBytes(spec);
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    phase: "Pending",
    capacityBytes: 0,
    onDiskBytes: 0,
    requestedBytes: requested,
    accessModes: spec.accessModes ?? [],
    reclaimPolicy: reclaimPolicyOf(claim),
    storageClassName: spec.storageClassName,
    createdAt: 0,
    pods: [],
    file: undefined,
    mountedAt: undefined,
    freeBytes: undefined,
    goneSince: undefined,
    deletesAt: undefined,
    problem: imageBytes(requested) > free ? lackOfRoom(requested, free) : undefined,
  };
}

function sizeProblem(
  { capacityBytes }: Pick<ClaimVolume, "capacityBytes">,
  requested: number,
  free: number,
): string | undefined {
  const wanted = imageBytes(requested);
  if (wanted < capacityBytes) return shrinkText(wanted, capacityBytes);
  if (wanted === capacityBytes) return undefined;
  if (wanted - capacityBytes > free)
    return `it has ${formatBytes(capacityBytes)}, and can't grow: ${lackOfRoom(wanted - capacityBytes, free)}`;
  return `it has ${formatBytes(capacityBytes)}, and grows to ${formatBytes(wanted)} when no pod has it any more`;
}

/** Volumes are never made smaller. Sizes in bytes. */
export function shrinkText(wanted: number, capacity: number): string {
  return `${formatBytes(wanted)} are asked for, and a volume can't be made smaller: it keeps its ${formatBytes(capacity)}`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
