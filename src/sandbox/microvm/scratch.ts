import { constants } from "node:fs";
import { type FileHandle, open, rename, rm, stat, truncate } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, isGantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { makeDirectory, namesIn } from "../namespace/files.ts";

/**
 * The disk for a pod's writable layers and emptyDirs. It belongs to its VM alone and holds nothing that is to last:
 * its file has no name any more when QEMU starts, so that it is gone with its last user, however that ends.
 */

/** What a pod may write, in bytes, when nothing else is configured. The file is sparse: only what is written takes room. */
export const SCRATCH_BYTES = 8 * 2 ** 30;

/**
 * An empty ext4. No journal, since nobody will ever recover it; project quotas, which bound emptyDirs; inode tables
 * that are not written until they are needed: so the file takes a tenth of a MiB, which is quickly copied.
 */
const MKFS = [
  ...["-q", "-F", "-m", "0", "-O", "^has_journal,^resize_inode,quota,project"],
  ...["-E", "lazy_itable_init=1,nodiscard,quotatype=prjquota", "-i", "32768"],
];
const PREPARED = /^prepared-/;

/**
 * A new scratch disk. The caller closes it.
 * @param directory on a disk, not in memory; made when it is missing
 * @param from what is on it: a template's, which its clones have mounted already, or an empty one (`emptyScratch`)
 * @throws GantryError disk-full, command-failed, command-missing
 */
export async function openScratch(
  directory: string,
  id: string,
  from: string,
  signal: AbortSignal,
): Promise<FileHandle> {
  const file = join(directory, `${id}.ext4`);
  try {
    await makeDirectory(directory, 0o700);
    await copyScratch(from, file, signal);
    return await open(file, constants.O_RDWR);
  } catch (error) {
    if (isGantryError(error, "cancelled", "command-missing")) throw error;
    throw new GantryError(errnoOf(error) === "ENOSPC" ? "disk-full" : "command-failed", reason(directory, error), {
      kind: "system",
      cause: error,
      hint: "See whether the disk is full.",
    });
  } finally {
    await rm(file, { force: true });
  }
}

const reason = (directory: string, error: unknown): string =>
  `cannot make a scratch disk in ${directory}: ${error instanceof Error ? error.message : String(error)}`;

/** Copies what is written, and leaves the holes. */
export async function copyScratch(from: string, to: string, signal: AbortSignal): Promise<void> {
  await exec("cp", ["--sparse=always", "--reflink=auto", "--", from, to], { signal });
}

/**
 * The empty file system of that size, made once. Several may make it at the same time: the last one's stays.
 * @returns its path. @throws GantryError command-failed, command-missing
 */
export async function emptyScratch(directory: string, bytes: number, signal: AbortSignal): Promise<string> {
  const path = join(directory, `prepared-${bytes}.ext4`);
  if (await stat(path).catch(() => undefined)) return path;
  await makeDirectory(directory, 0o700);
  const temporary = join(directory, `.${process.pid}-${performance.now()}`);
  try {
    await (await open(temporary, "wx", 0o600)).close();
    await truncate(temporary, bytes);
    await exec("mkfs.ext4", [...MKFS, temporary], { signal, installHint: "apt-get install e2fsprogs" });
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
  return path;
}

/** Called while none is being made. @returns what a crash had left and was removed, one line each */
export async function collectScratch(directory: string): Promise<string[]> {
  const left = (await namesIn(directory)).filter((name) => !PREPARED.test(name));
  for (const name of left) await rm(join(directory, name), { force: true });
  return left.map((name) => `scratch disk ${name}`);
}
