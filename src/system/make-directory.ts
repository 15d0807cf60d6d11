import { access, mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf } from "./errors.ts";

/**
 * Makes a directory with all its parents, for paths that users choose. Level by level, because a recursive mkdir of
 * Node.js never ends where the kernel says ENOENT though the parent is there, as below /proc.
 * @param mode of each directory that is made, less the umask
 * @throws Error of the file system
 */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  const parent = dirname(path);
  try {
    await makeOne(path, mode);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || parent === path || (await exists(parent))) throw error;
    await makeDirectory(parent, mode);
    await makeOne(path, mode);
  }
}

async function makeOne(path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST" || !(await stat(path)).isDirectory()) throw error;
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
