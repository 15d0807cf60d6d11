import { rmSync } from "node:fs";
import { readMounts, unmount } from "../../src/system/mounts.ts";

/**
 * Deletes a directory of the tests. What is still mounted below it is unmounted first, as deleting through a bind
 * mount would delete what is behind it; the directory stays when that fails.
 * @returns what was mounted, in words: things that somebody forgot
 */
export async function removeTree(directory: string): Promise<string[]> {
  const below = async (): Promise<string[]> =>
    (await readMounts()).map(({ path }) => path).filter((path) => path.startsWith(`${directory}/`));
  const forgotten = await below();
  for (const path of forgotten.toReversed()) await unmount(path);
  const stuck = await below();
  if (stuck.length > 0) return stuck.map((path) => `mount ${path}, which cannot be unmounted`);
  rmSync(directory, { recursive: true, force: true, maxRetries: 5 });
  return forgotten.map((path) => `mount ${path}`);
}
