import { constants } from "node:fs";
import { chmod, type FileHandle, mkdir, open, readlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { ContainerMount, PreparedVolume } from "../driver.ts";
import { mayMakeSubPath } from "../generated.ts";

/**
 * Parts of volumes (subPath), found in a way that nobody who writes to the volume meanwhile can turn aside.
 *
 * Node has no openat2(2). But a name below `/proc/self/fd/N` is looked up in the very directory that is open as N,
 * whatever its path means by now, and O_NOFOLLOW keeps the kernel from following a link at that name: so each step is
 * what openat(2) does. Links are read and walked here by the same steps; ".." goes back to a directory that is open
 * still. What was found is then bound by its descriptor, and the OCI runtime is given that mount, in a directory of ours.
 */

/** From <asm-generic/fcntl.h>; the same on all processors that Node runs on with Linux. */
const O_PATH = 0o10000000;
const MAX_LINKS = 40;

export const SUBPATH_HINT = "A subPath names something below its volume; a link in it may not lead out.";

/**
 * @param root a directory; links in its own path are followed, as the mount of the whole would
 * @param create makes directories where there is nothing, with the mode of `root`
 * @returns what is there, open as O_PATH. The caller closes it. @throws GantryError volume-failed
 */
export async function openBelow(root: string, path: string, create: boolean): Promise<FileHandle> {
  const fail = (why: string, cause?: unknown): GantryError =>
    new GantryError("volume-failed", `the subPath ${JSON.stringify(path)} of ${root} ${why}`, {
      ...(cause === undefined ? {} : { cause }),
      hint: SUBPATH_HINT,
    });
  const opened: FileHandle[] = [];
  const todo = path.split("/");
  try {
    const base = await open(root, O_PATH);
    opened.push(base);
    const { mode } = await base.stat();
    for (let links = 0; todo.length > 0; ) {
      const part = todo.shift() ?? "";
      if (part === "" || part === ".") continue;
      if (part === "..") {
        if (opened.length === 1) throw fail("leads out of the volume");
        await opened.pop()?.close();
        continue;
      }
      const name = `${pathOf(opened.at(-1) ?? base)}/${part}`;
      const next = await step(name, create ? mode & 0o7777 : undefined);
      opened.push(next);
      if (!(await next.stat()).isSymbolicLink()) continue;
      await opened.pop()?.close();
      const target = await readlink(name);
      if (target.startsWith("/")) throw fail(`leads to ${target}: absolute links are not followed`);
      if (++links > MAX_LINKS) throw fail("has too many links");
      todo.unshift(...target.split("/"));
    }
    const found = opened.pop();
    if (found === undefined) throw fail("names nothing");
    return found;
  } catch (error) {
    if (error instanceof GantryError) throw error;
    if (errnoOf(error) === "ENOENT") throw fail("does not exist", error);
    if (errnoOf(error) === "ENOTDIR") throw fail("leads through something that is not a directory", error);
    if (errnoOf(error) === "EROFS") throw fail("does not exist, and the volume is read-only", error);
    throw fail(`cannot be opened: ${messageOf(error)}`, error);
  } finally {
    for (const handle of opened) await handle.close();
  }
}

/** The path under which the kernel finds what is open, whatever has become of its name. */
function pathOf({ fd }: FileHandle): string {
  return `/proc/self/fd/${fd}`;
}

/** Opens what has that name, a link too; makes a directory of that mode where there is nothing. */
async function step(name: string, mode: number | undefined): Promise<FileHandle> {
  const flags = O_PATH | constants.O_NOFOLLOW;
  try {
    return await open(name, flags);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT" || mode === undefined) throw error;
  }
  const made = await mkdir(name, { mode: mode & 0o777 }).then(
    () => true,
    (error: unknown) => {
      if (errnoOf(error) === "EEXIST") return false; // somebody else was first
      throw error;
    },
  );
  const handle = await open(name, flags);
  try {
    // Whatever the umask is. By its descriptor: the name may mean something else already.
    if (made && (await handle.stat()).isDirectory()) await chmod(pathOf(handle), mode);
    return handle;
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/**
 * Binds the sub paths of a container's mounts at paths of our own.
 * @param directory in which the mount points are made; it is unmounted and removed with the container
 * @returns where each is, by the path at which the app is to see it
 * @throws GantryError volume-failed, cancelled
 */
export async function bindSubPaths(
  directory: string,
  mounts: readonly ContainerMount[],
  volumes: readonly PreparedVolume[],
  signal: AbortSignal,
): Promise<ReadonlyMap<string, string>> {
  const bound = new Map<string, string>();
  for (const { subPath, volume: name, mountPath } of mounts) {
    const volume = volumes.find((one) => one.name === name);
    if (subPath === undefined || volume === undefined) continue;
    const target = join(directory, String(bound.size));
    const source = await openBelow(volume.hostPath, subPath, mayMakeSubPath(volume));
    try {
      await mkdir(directory, { recursive: true, mode: 0o711 });
      if ((await source.stat()).isDirectory()) await mkdir(target);
      else await writeFile(target, "", { flag: "wx" });
      // The mount is made by another process, to which "self" would be itself.
      const from = `/proc/${process.pid}/fd/${source.fd}`;
      await exec("mount", ["--no-canonicalize", "--bind", from, target], { signal });
    } finally {
      await source.close();
    }
    bound.set(mountPath, target);
  }
  return bound;
}
