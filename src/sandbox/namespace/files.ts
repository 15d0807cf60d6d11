import { constants, rmSync } from "node:fs";
import { mkdir, open, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { errnoOf } from "../../system/errors.ts";

/**
 * Replaces a file in one step: a reader, or a crash, sees the old or the new one. Not flushed to disk: what the
 * driver writes this way means nothing after a power cut. On a full disk a file is written over if it has the room:
 * pods must be stoppable then.
 */
export async function writeAtomically(path: string, content: string, mode = 0o644): Promise<void> {
  const temporary = `${path}.new`;
  try {
    await writeFile(temporary, content, { mode });
  } catch (error) {
    await rm(temporary, { force: true });
    if (errnoOf(error) !== "ENOSPC" || !(await overwrite(path, Buffer.from(content)))) throw error;
    return;
  }
  await rename(temporary, path);
}

/** With one call, and only in blocks that the file has already. @returns whether it could be done */
async function overwrite(path: string, content: Buffer): Promise<boolean> {
  const file = await open(path, "r+").catch(() => undefined);
  if (file === undefined) return false;
  try {
    const { blocks } = await file.stat();
    if (content.length > blocks * 512) return false;
    await file.write(content, 0, content.length, 0);
    await file.truncate(content.length);
    return true;
  } finally {
    await file.close();
  }
}

/** Its text, or undefined where there is none. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** Names in a directory; none where there is no such directory. */
export async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

export async function makeDirectory(path: string, mode = 0o711): Promise<void> {
  await mkdir(path, { recursive: true, mode });
}

/** Removes it with everything below; absent is fine. The caller has made sure that nothing is mounted there. */
export async function removeTree(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 3 });
}

/**
 * The last `maxBytes` of a file that an app may have written: follows no symlink, waits for no fifo, reads
 * nothing but a regular file.
 */
export async function readTail(path: string, maxBytes: number): Promise<string | undefined> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (isAbsent(error) || errnoOf(error) === "ELOOP" || errnoOf(error) === "ENXIO") return undefined;
    throw error;
  }
  try {
    const stat = await handle.stat();
    if (!stat.isFile() || stat.size === 0) return undefined;
    const length = Math.min(stat.size, maxBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, stat.size - length);
    return buffer.subarray(0, bytesRead).toString("utf8");
  } finally {
    await handle.close();
  }
}

/** The same for the few files that we have made ourselves: at once, which takes a tenth of the CPU time. */
export function removeOwnTree(path: string): void {
  rmSync(path, { recursive: true, force: true, maxRetries: 3 });
}

export function isAbsent(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOENT" || errno === "ENOTDIR";
}
