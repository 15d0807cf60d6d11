import { lstat, realpath, rm } from "node:fs/promises";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import { readMounts, unmount } from "../system/mounts.ts";

/**
 * Unmounts everything at and below `dir`, then removes it. Never follows a symlink, and removes nothing as long as
 * anything is mounted there: an app with mount propagation may have put the host's files there. Not being there is fine.
 * @throws GantryError volume-failed when something stays
 */
export async function removeTree(dir: string, signal: AbortSignal): Promise<void> {
  let isLink: boolean;
  try {
    isLink = (await lstat(dir)).isSymbolicLink();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return;
    throw error;
  }
  for (const path of isLink ? [] : await mountsBelow(dir)) await unmount(path, signal);
  const left = isLink ? [] : await mountsBelow(dir);
  if (left.length > 0) throw failed(dir, `${left.join(", ")} can't be unmounted`);
  // In this process rather than by rm(1): a process costs more than the few files that most pods have.
  signal.throwIfAborted();
  try {
    await rm(dir, { recursive: true, force: true, maxRetries: 3 });
  } catch (error) {
    throw failed(dir, messageOf(error), error);
  }
}

/** Mount points at and below `dir`, the last mounted first. */
async function mountsBelow(dir: string): Promise<string[]> {
  const real = await realpath(dir);
  const below = (await readMounts()).filter((mount) => mount.path === real || mount.path.startsWith(`${real}/`));
  return below.map((mount) => mount.path).reverse();
}

function failed(dir: string, why: string, cause?: unknown): GantryError {
  return new GantryError("volume-failed", `cannot remove ${dir}: ${why}`, {
    kind: "system",
    cause,
    hint: "Gantry tries again by itself; look at what uses the directory.",
  });
}
