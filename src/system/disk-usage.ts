import { stat } from "node:fs/promises";
import { errnoOf } from "./errors.ts";
import { exec } from "./exec.ts";

/** What is counted on disks. */
export type DiskUnit = "bytes" | "inodes";

/**
 * What each directory and all below it takes of its own disk; what vanishes meanwhile does not count. Those that are
 * not there are 0. By path.
 */
export async function diskUsage(
  directories: readonly string[],
  unit: DiskUnit = "bytes",
): Promise<ReadonlyMap<string, number>> {
  const there = (await Promise.all(directories.map(async (path) => ((await exists(path)) ? [path] : [])))).flat();
  const found = new Map(directories.map((path) => [path, 0]));
  if (there.length === 0) return found;
  const count = unit === "bytes" ? "--block-size=1" : "--inodes";
  const { stdout } = await exec("du", ["--summarize", count, "--one-file-system", "--null", "--", ...there], {
    okCodes: [0, 1],
  });
  for (const line of stdout.split("\0")) {
    const [, number = "", path = ""] = /^(\d+)\t(.*)$/s.exec(line) ?? [];
    if (found.has(path)) found.set(path, Number(number));
  }
  return found;
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
