import { readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, messageOf, toGantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { makeDirectory } from "../system/make-directory.ts";
import type { Paths } from "../system/paths.ts";
import { sweepTempDirs } from "../system/temp-dirs.ts";
import { syncPath, writeDurably } from "./durable.ts";
import type { ImageRecord, IndexFile } from "./index-file.ts";
import { withLock } from "./lock.ts";

/** Where the parts of the store lie. All on one filesystem, so that finished work moves in by a rename. */
export interface StorePaths {
  /** Has blobs/sha256/ below it, as an OCI layout does. */
  readonly dir: string;
  readonly blobs: string;
  readonly roots: string;
  readonly temp: string;
  /** Blobs that interrupted pulls had fetched. */
  readonly downloads: string;
  /** See `UseTimes`. */
  readonly used: string;
  /** Accepts anything. */
  readonly policy: string;
  readonly lockFile: string;
  /** Mount points. */
  readonly mounts: string;
}

export function storePaths(paths: Paths): StorePaths {
  const dir = paths.images;
  return {
    dir,
    blobs: join(dir, "blobs", "sha256"),
    roots: join(dir, "roots"),
    temp: join(dir, "tmp"),
    downloads: join(dir, "downloads"),
    used: join(dir, "used"),
    policy: join(dir, "policy.json"),
    lockFile: join(dir, "lock"),
    mounts: join(paths.run, "images"),
  };
}

/**
 * skopeo asks for a policy about what may be copied. Local files carry no signatures, so that anything goes;
 * a host's own policy is meant for registries.
 */
export const ACCEPT_ANYTHING = JSON.stringify({ default: [{ type: "insecureAcceptAnything" }] });

/**
 * Makes the store's directories, and removes what a crash left behind.
 * @param before told of each temporary directory that is about to go. @throws GantryError internal, disk-full
 */
export async function openStore(
  at: StorePaths,
  index: IndexFile,
  log: Logger,
  before: (temp: string) => Promise<void>,
): Promise<void> {
  try {
    for (const dir of [at.blobs, at.roots, at.temp, at.used]) await makeDirectory(dir, 0o700);
  } catch (error) {
    throw toGantryError(error, "internal", `cannot make the image store in ${at.dir}`);
  }
  await withLock(at.lockFile, undefined, async () => {
    if (!(await exists(at.policy))) await writeDurably(at.policy, ACCEPT_ANYTHING, `${at.policy}.new`);
    const onError = (error: unknown): void =>
      log.warn({ error: messageOf(error) }, "cannot remove what an unfinished import had left");
    const swept = await sweepTempDirs(at.temp, onError, before);
    const orphans = await sweepOrphans(at, await index.read());
    if (swept + orphans > 0)
      log.info({ imports: swept, files: orphans }, "removed what unfinished image imports had left");
  });
}

/**
 * Removes blobs and roots that no image refers to. They come into the store only together with their record and
 * under the lock, so that here, under the lock, they can only be left from a crash.
 */
export async function sweepOrphans(at: StorePaths, records: readonly ImageRecord[]): Promise<number> {
  // A damaged index was set aside: whoever mends it will want the data.
  if (await exists(join(at.dir, "index.json.damaged"))) return 0;
  const blobs = new Set(records.flatMap((record) => record.blobs.map(hexOf)));
  const roots = new Set(records.map((record) => hexOf(record.digest)));
  let removed = 0;
  for (const name of await readdir(at.blobs)) {
    if (blobs.has(name)) continue;
    await rm(join(at.blobs, name), { recursive: true, force: true });
    removed += 1;
  }
  for (const name of await readdir(at.roots)) {
    if (roots.has(name.replace(/\.erofs$/, ""))) continue;
    await rm(join(at.roots, name), { recursive: true, force: true });
    removed += 1;
  }
  for (const name of await readdir(at.used)) if (!roots.has(name)) await rm(join(at.used, name), { force: true });
  return removed;
}

/** Moves blobs of a staged layout into the store, durably. Those that are there already stay. Under the lock. */
export async function keepBlobs(at: StorePaths, layout: string, digests: readonly string[]): Promise<void> {
  for (const digest of new Set(digests)) {
    const target = join(at.blobs, hexOf(digest));
    if (await exists(target)) continue;
    const staged = join(layout, "blobs/sha256", hexOf(digest));
    await syncPath(staged);
    await rename(staged, target);
  }
  await syncPath(at.blobs);
}

/** Moves in what the store should have of an image that it holds, and has not: blobs that were damaged or lost. */
export async function restoreBlobs(at: StorePaths, layout: string, digests: readonly string[]): Promise<void> {
  const staged = new Set(await readdir(join(layout, "blobs/sha256")));
  await keepBlobs(
    at,
    layout,
    digests.filter((digest) => staged.has(hexOf(digest))),
  );
}

export function hexOf(digest: string): string {
  return digest.slice("sha256:".length);
}

async function exists(path: string): Promise<boolean> {
  try {
    await stat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}
