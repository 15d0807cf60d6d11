import { rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Origin, VerifyResult } from "./contract.ts";
import { hexOf } from "./disk.ts";
import { sha256Of, sha256OfAll } from "./hash.ts";
import type { ImageRecord } from "./index-file.ts";
import { IMAGE_FILE_BYTES } from "./limits.ts";
import type { RootSource } from "./mounter.ts";
import { treeDigest } from "./rootfs-layer.ts";

/** What verifying needs of the store. */
export interface Verified {
  readonly blobs: string;
  findRoot(record: ImageRecord): Promise<RootSource | undefined>;
  /** Builds the root again from the blobs, replaces the damaged one, and notes its digest. */
  rebuild(record: ImageRecord, signal: AbortSignal): Promise<void>;
  /** Fetches again what is missing of an image that was pulled. */
  refetch(record: ImageRecord, origin: Origin, signal: AbortSignal): Promise<void>;
}

/** What is wrong with an image on the disk, in words. */
interface Damage {
  readonly blobs: readonly { readonly digest: string; readonly why: string }[];
  readonly root: string | undefined;
}

/** Reads all of an image's files, and repairs what is damaged if asked to. @throws GantryError cancelled, command-missing */
export async function verifyImage(
  record: ImageRecord,
  store: Verified,
  repair: boolean,
  signal: AbortSignal,
): Promise<VerifyResult> {
  const { digest, names } = record;
  const damage = await examine(record, store, signal);
  const ofBlobs = damage.blobs.map(({ digest: blob, why }) => `blob ${blob} ${why}`);
  const findings = damage.root === undefined ? ofBlobs : [...ofBlobs, damage.root];
  if (findings.length === 0) return { digest, names, state: "ok", findings };
  if (!repair) return { digest, names, state: "damaged", findings };
  try {
    if (damage.blobs.length > 0) await mendBlobs(record, damage, store, signal);
    if (damage.root !== undefined) await store.rebuild(record, signal);
    return { digest, names, state: "repaired", findings, rootReplaced: damage.root !== undefined };
  } catch (error) {
    if (isGantryError(error, "cancelled")) throw error;
    const hint = isGantryError(error) ? error.hint : undefined;
    return {
      digest,
      names,
      state: "damaged",
      findings,
      problem: messageOf(error),
      ...(hint === undefined ? {} : { hint }),
    };
  }
}

async function examine(record: ImageRecord, store: Verified, signal: AbortSignal): Promise<Damage> {
  const files = record.blobs.map((digest) => ({ digest, path: join(store.blobs, hexOf(digest)) }));
  const there = await Promise.all(files.map(async (file) => ({ ...file, found: await isThere(file.path) })));
  const readable = there.filter(({ found }) => found);
  const actual = await sha256OfAll(readable, signal);
  const changed = readable.flatMap(({ digest }, at) =>
    actual[at] === digest ? [] : [{ digest, why: `has other content: ${actual[at]}` }],
  );
  const lost = there.flatMap(({ digest, found }) => (found ? [] : [{ digest, why: "is missing" }]));
  return { blobs: [...lost, ...changed], root: await rootDamage(record, await store.findRoot(record), signal) };
}

async function isThere(path: string): Promise<boolean> {
  return await stat(path).then(
    (stats) => stats.isFile(),
    () => false,
  );
}

async function rootDamage(
  { rootDigest, sizeBytes }: ImageRecord,
  root: RootSource | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (root === undefined) return "its root filesystem is missing";
  if (rootDigest === undefined) return "no digest of its root filesystem is known";
  if (root.type === "erofs" && (await stat(root.path)).size !== IMAGE_FILE_BYTES)
    return `${root.path} has another size`;
  const actual =
    root.type === "erofs" ? await sha256Of(root.path, signal, sizeBytes) : await treeDigest(root.path, signal);
  return actual === rootDigest ? undefined : `${root.path} has other content than when it was made`;
}

async function mendBlobs(record: ImageRecord, damage: Damage, store: Verified, signal: AbortSignal): Promise<void> {
  // Out of the way: whatever brings the image again brings them, too.
  for (const { digest } of damage.blobs) await rm(join(store.blobs, hexOf(digest)), { force: true });
  let failure: unknown = new GantryError("image-invalid", "it was imported, so that its files can't be fetched again", {
    hint: "Import it again from where it came.",
  });
  for (const origin of record.origins) {
    try {
      return await store.refetch(record, origin, signal);
    } catch (error) {
      if (isGantryError(error, "cancelled")) throw error;
      failure = error;
    }
  }
  throw failure;
}
