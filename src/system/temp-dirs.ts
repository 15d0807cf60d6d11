import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, realpath, rm } from "node:fs/promises";
import { join } from "node:path";
import { readMounts, unmount } from "./mounts.ts";

/**
 * A new directory for one piece of work, named after the process that does it, so that the next start can tell
 * leftovers of a crash from work that is still going on in another process.
 */
export async function makeTempDir(parent: string): Promise<string> {
  const dir = join(parent, `${await ownerOf(process.pid)}-${randomBytes(4).toString("hex")}`);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  return dir;
}

/**
 * Removes the directories under `parent` whose process is gone, with whatever is mounted below them. A tool that
 * outlived it may still write for a moment: what can't be removed now is left for the next time.
 * @param before called with each directory that is about to be removed
 * @returns how many were removed
 */
export async function sweepTempDirs(
  parent: string,
  onError: (error: unknown) => void,
  before: (directory: string) => Promise<void> = async () => {},
): Promise<number> {
  let swept = 0;
  const real = await realpath(parent); // as the mount table has it
  for (const name of await readdir(parent)) {
    const owner = name.slice(0, name.lastIndexOf("-"));
    const pid = Number(owner.split("-")[1]);
    if (Number.isInteger(pid) && pid > 0 && owner === (await ownerOf(pid))) continue;
    const directory = join(parent, name);
    try {
      await before(directory);
      for (const { path } of (await readMounts()).reverse()) {
        if (path.startsWith(`${join(real, name)}/`)) await unmount(path);
      }
      await rm(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
      swept += 1;
    } catch (error) {
      onError(error);
    }
  }
  return swept;
}

/** Boot, pid and start time (field 22 of /proc/PID/stat) identify a process for good; "" for one that is not there. */
async function ownerOf(pid: number): Promise<string> {
  try {
    const boot = (await readFile("/proc/sys/kernel/random/boot_id", "utf8")).slice(0, 8);
    const stat = await readFile(`/proc/${pid}/stat`, "utf8");
    // The second field, the command, may hold spaces and parentheses.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return `${boot}-${pid}-${fields[19]}`;
  } catch {
    return "";
  }
}
