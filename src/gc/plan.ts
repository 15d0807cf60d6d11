/** Which images may go, as the kubelet decides it (pkg/kubelet/images/image_gc_manager.go). Pure. */
import type { StoreUsage } from "../image/contract.ts";

export interface GcSettings {
  /** Of the disk's bytes in use: above this, unused images go, in percent … */
  readonly highPercent: number;
  /** … until so many are in use. */
  readonly lowPercent: number;
  /** Whatever was used within this time stays, ms. */
  readonly minAgeMs: number;
  /** What was not used for this long goes, however much room there is, ms; 0: never for that reason. */
  readonly maxAgeMs: number;
  /** Imported images may go, too, though nobody can fetch them again. */
  readonly imported: boolean;
}

/** From the configuration, whose times are in seconds. */
export function settingsOf(config: {
  readonly highPercent: number;
  readonly lowPercent: number;
  readonly minAgeSeconds: number;
  readonly maxAgeSeconds: number;
  readonly imported: boolean;
}): GcSettings {
  const { highPercent, lowPercent, imported } = config;
  const [minAgeMs, maxAgeMs] = [config.minAgeSeconds * 1000, config.maxAgeSeconds * 1000];
  return { highPercent, lowPercent, imported, minAgeMs, maxAgeMs };
}

export interface Removal {
  readonly digest: string;
  readonly names: readonly string[];
  readonly lastUsedAt: number;
  /** Bytes that nothing else uses. */
  readonly freesBytes: number;
  readonly why: "old" | "superseded" | "disk";
}

export interface ImagePlan {
  readonly removals: readonly Removal[];
  /** Percent of the disk in use before. */
  readonly usedPercent: number;
  /** Bytes that would have to be freed to come below the low mark; 0 when the high one is not reached. */
  readonly wantedBytes: number;
}

type ImageUsage = StoreUsage["images"][number];

/** @param isNeeded a manifest names it, or a container uses it */
export function planImages(
  { images, disk }: StoreUsage,
  isNeeded: (image: Pick<ImageUsage, "digest" | "names" | "aliases">) => boolean,
  settings: GcSettings,
  now: number,
): ImagePlan {
  const usedPercent = disk.totalBytes === 0 ? 0 : 100 - (disk.availableBytes / disk.totalBytes) * 100;
  const wanted = (disk.totalBytes * (100 - settings.lowPercent)) / 100 - disk.availableBytes;
  const wantedBytes = usedPercent >= settings.highPercent ? Math.max(0, Math.ceil(wanted)) : 0;
  const users = new Map<string, number>();
  for (const { blobs } of images) for (const { digest } of blobs) users.set(digest, (users.get(digest) ?? 0) + 1);
  const free = (image: ImageUsage): number => {
    let bytes = image.rootBytes;
    for (const { digest, bytes: size } of image.blobs) {
      const left = (users.get(digest) ?? 1) - 1;
      users.set(digest, left);
      if (left === 0) bytes += size;
    }
    return bytes;
  };
  const candidates = images
    .filter((image) => now - image.lastUsedAt >= settings.minAgeMs && !isNeeded(image))
    // A name that another image took is reason enough, but what was only imported can't be had again.
    .filter(({ names, imported }) => settings.imported || !imported || names.length === 0)
    .sort((a, b) => a.lastUsedAt - b.lastUsedAt || a.createdAt - b.createdAt || (a.digest < b.digest ? -1 : 1));
  const removals: Removal[] = [];
  let freed = 0;
  const remove = (image: ImageUsage, why: Removal["why"]): void => {
    const freesBytes = free(image);
    freed += freesBytes;
    removals.push({ digest: image.digest, names: image.names, lastUsedAt: image.lastUsedAt, freesBytes, why });
  };
  const rest = candidates.filter((image) => {
    const old = settings.maxAgeMs > 0 && now - image.lastUsedAt > settings.maxAgeMs;
    if (!old && image.names.length > 0) return true;
    remove(image, old ? "old" : "superseded");
    return false;
  });
  for (const image of rest) if (freed < wantedBytes) remove(image, "disk");
  return { removals, usedPercent, wantedBytes };
}
