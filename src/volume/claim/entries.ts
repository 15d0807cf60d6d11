/** What `gantry volume` shows. Pure. */
import { reclaimPolicyOf, requestedBytes } from "../../manifest/claim.ts";
import type { PersistentVolumeClaim } from "../../manifest/index.ts";
import type { ClaimVolume, VolumeEntry } from "./contract.ts";
import { imageBytes } from "./image.ts";

/** Volumes and claims together, by namespace and name. */
export function volumeEntries(
  volumes: readonly ClaimVolume[],
  claims: ReadonlyMap<string, PersistentVolumeClaim>,
): VolumeEntry[] {
  const made = new Map(volumes.map((volume) => [`${volume.namespace}/${volume.name}`, volume]));
  const pending = [...claims].flatMap(([key, claim]) => (made.has(key) ? [] : [pendingEntry(claim)]));
  const bound = [...made].map(([key, volume]): VolumeEntry => {
    const claim = claims.get(key);
    if (claim === undefined) return { ...volume, phase: "Released", requestedBytes: undefined, problem: undefined };
    const requested = requestedBytes(claim.spec);
    return { ...volume, phase: "Bound", requestedBytes: requested, problem: problemOf(volume, requested) };
  });
  return [...pending, ...bound].sort((a, b) => compare(a.namespace, b.namespace) || compare(a.name, b.name));
}

function pendingEntry(claim: PersistentVolumeClaim): VolumeEntry {
  const { metadata, spec } = claim;
  return {
    namespace: metadata.namespace,
    name: metadata.name,
    phase: "Pending",
    capacityBytes: 0,
    onDiskBytes: 0,
    requestedBytes: requestedBytes(spec),
    accessModes: spec.accessModes ?? [],
    reclaimPolicy: reclaimPolicyOf(claim),
    storageClassName: spec.storageClassName,
    createdAt: 0,
    pods: [],
    file: undefined,
    mountedAt: undefined,
    freeBytes: undefined,
    problem: undefined,
  };
}

function problemOf({ capacityBytes }: ClaimVolume, requested: number): string | undefined {
  const wanted = imageBytes(requested);
  if (wanted < capacityBytes)
    return `the claim asks for ${mebibytes(wanted)}, but a volume can't be made smaller: it keeps its ${mebibytes(capacityBytes)}`;
  if (wanted > capacityBytes)
    return `it has ${mebibytes(capacityBytes)}, and grows to ${mebibytes(wanted)} when no pod has it any more`;
  return undefined;
}

/** Sizes of images are whole ones. */
function mebibytes(bytes: number): string {
  return `${bytes / 2 ** 20} MiB`;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
