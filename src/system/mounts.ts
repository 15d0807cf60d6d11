import { readFile, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { isGantryError } from "./errors.ts";
import { exec } from "./exec.ts";

/** One line of /proc/self/mountinfo, see proc_pid_mountinfo(5). */
export interface MountPoint {
  readonly path: string;
  readonly type: string;
  /** What is mounted: a device, or a word such as "tmpfs". */
  readonly source: string;
  /** The file system lets nobody write, wherever it is mounted. */
  readonly readOnly: boolean;
  /** Mounts and unmounts below it show up in other mount namespaces too. */
  readonly shared: boolean;
  /** Those of another mount namespace show up in it. */
  readonly slave: boolean;
}

/** Everything that is mounted in our mount namespace, in the order in which it was mounted. */
export async function readMounts(): Promise<MountPoint[]> {
  return parseMounts(await readFile("/proc/self/mountinfo", "utf8"));
}

export function parseMounts(text: string): MountPoint[] {
  const mounts: MountPoint[] = [];
  for (const line of text.split("\n")) {
    const fields = line.split(" ");
    // A variable number of optional fields ends with "-".
    const dash = fields.indexOf("-", 6);
    const path = fields[4];
    if (path === undefined || dash === -1) continue;
    mounts.push({
      path: unescapeOctal(path),
      type: fields[dash + 1] ?? "",
      source: unescapeOctal(fields[dash + 2] ?? ""),
      readOnly: (fields[dash + 3] ?? "").split(",").includes("ro"),
      shared: fields.slice(6, dash).some((field) => field.startsWith("shared:")),
      slave: fields.slice(6, dash).some((field) => field.startsWith("master:")),
    });
  }
  return mounts;
}

/** The kernel writes space, tab, newline and backslash as octal. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

/** `path` as mountinfo spells it: symlinks above its last component followed. @throws when its parent is missing */
export async function mountPath(path: string): Promise<string> {
  return join(await realpath(dirname(path)), basename(path));
}

/**
 * Takes a mount away. One that is busy is detached: it vanishes from the tree now, and is freed when its last user
 * ends. Not being a mount point (any more) is fine. Follows no symlink.
 * @throws GantryError command-failed
 */
export async function unmount(path: string, signal?: AbortSignal): Promise<void> {
  const options = signal === undefined ? {} : { signal };
  try {
    await exec("umount", ["--no-canonicalize", "--", path], options);
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    if (!(await isMounted(path))) return;
    await exec("umount", ["--no-canonicalize", "--lazy", "--", path], options);
  }
}

/** Whether something is mounted at exactly this path. */
export async function isMounted(path: string): Promise<boolean> {
  let real: string;
  try {
    real = await mountPath(path);
  } catch {
    return false;
  }
  return (await readMounts()).some((mount) => mount.path === real);
}
