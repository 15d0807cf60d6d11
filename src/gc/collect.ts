import type { ImageStore } from "../image/contract.ts";
import { isDigest, normalizeName, parseReference } from "../image/name.ts";
import { isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { collectLogs } from "./logs.ts";
import { type GcSettings, planImages, type Removal } from "./plan.ts";

/** What is in use now; asked again right before each removal. */
export interface Needs {
  /** Image names in manifests; undefined while they are not all known, when nothing may go. */
  names(): ReadonlySet<string> | undefined;
  /** Digests that containers use, or are about to. */
  digests(): ReadonlySet<string>;
}

export interface CollectOptions {
  readonly images: ImageStore;
  readonly needs: Needs;
  readonly settings: GcSettings;
  readonly podLogs: string;
  readonly dryRun: boolean;
  readonly now: number;
  readonly log: Logger;
}

export interface GcReport {
  readonly dryRun: boolean;
  /** Percent of the image store's disk in use before. */
  readonly usedPercent: number;
  /** Bytes to free to come below the low mark; 0 when there is room enough. */
  readonly wantedBytes: number;
  readonly freedBytes: number;
  readonly removed: readonly Removal[];
  /** What could not be removed now, and why; the next round tries again. */
  readonly failed: readonly { readonly what: string; readonly why: string }[];
  /** Rotated log files, and blobs of no image. */
  readonly logs: readonly string[];
  readonly orphans: number;
  /** Why nothing was looked at. */
  readonly held: string | undefined;
}

/** One round of collecting garbage. Never fails because something is busy: that stays for the next round. */
export async function collectGarbage(options: CollectOptions): Promise<GcReport> {
  const { images, needs, settings, dryRun, now, log } = options;
  if (needs.names() === undefined)
    return nothing(dryRun, "not all manifests can be read now, so that nothing is known to be unused");
  await images.touch(needs.digests());
  const usage = await images.usage();
  const plan = planImages(usage, (image) => isNeeded(needs, image), settings, now);
  const removed: Removal[] = [];
  const failed: GcReport["failed"][number][] = [];
  for (const removal of plan.removals) {
    const image = usage.images.find(({ digest }) => digest === removal.digest);
    if (dryRun || image === undefined) {
      removed.push(removal);
      continue;
    }
    try {
      await images.remove(removal.digest, () => (isNeeded(needs, image) ? ["a pod"] : []));
      removed.push(removal);
    } catch (error) {
      // A pod came for it just now, or somebody else was faster.
      if (isGantryError(error, "image-in-use", "not-found")) continue;
      const what = removal.names[0] ?? removal.digest;
      log.warn({ image: what, error: messageOf(error) }, "an unused image could not be removed; trying again later");
      failed.push({ what, why: messageOf(error) });
    }
  }
  const logs = await collectLogs(options.podLogs, settings, now, dryRun);
  const orphans = dryRun ? 0 : await sweep(images, failed);
  const freedBytes = removed.reduce((sum, { freesBytes }) => sum + freesBytes, 0) + logs.bytes;
  const { usedPercent, wantedBytes } = plan;
  return {
    dryRun,
    usedPercent: Math.round(usedPercent * 10) / 10,
    wantedBytes,
    freedBytes,
    removed,
    failed,
    logs: logs.files,
    orphans,
    held: undefined,
  };
}

async function sweep(images: ImageStore, failed: GcReport["failed"][number][]): Promise<number> {
  try {
    return await images.sweep();
  } catch (error) {
    failed.push({ what: "files of no image", why: messageOf(error) });
    return 0;
  }
}

function nothing(dryRun: boolean, held: string): GcReport {
  const none = { removed: [], failed: [], logs: [], orphans: 0 };
  return { dryRun, usedPercent: 0, wantedBytes: 0, freedBytes: 0, ...none, held };
}

interface Identity {
  readonly digest: string;
  readonly names: readonly string[];
  readonly aliases: readonly string[];
}

function isNeeded(needs: Needs, image: Identity): boolean {
  const names = needs.names();
  if (names === undefined || needs.digests().has(image.digest)) return true;
  for (const name of names) if (means(name, image)) return true;
  return false;
}

/** Whether a name in a manifest means this image. */
function means(name: string, { digest, names, aliases }: Identity): boolean {
  if (isDigest(name)) return name === digest;
  try {
    const pinned = parseReference(name).digest;
    if (pinned !== undefined) return pinned === digest || aliases.includes(pinned);
    return names.includes(normalizeName(name));
  } catch {
    return false; // no name of any image
  }
}
