import { randomBytes } from "node:crypto";
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  unlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf } from "../system/errors.ts";
import type { Payload } from "./payload.ts";

/**
 * Keeps a directory's files equal to a payload so that a reader sees all old files or all new ones. The layout is
 * the kubelet's (k8s.io/kubernetes/pkg/volume/util AtomicWriter), which programs that watch for updates know:
 *
 *     ..2025_01_31_12_00_00.1234abcd/   the files
 *     ..data -> ..2025_01_31_12_00_00.1234abcd
 *     key -> ..data/key                  one link for each first component of a path
 */
const DATA = "..data";
const DATA_NEW = "..data_tmp";

/** Brings `dir`, which must exist, up to date. @returns whether anything had to change */
export async function writeAtomically(dir: string, payload: Payload, now: Date): Promise<boolean> {
  const current = await currentVersion(dir);
  const same = current !== undefined && (await holds(join(dir, current), payload));
  const version = same ? current : await writeVersion(dir, payload, now);
  if (!same) {
    await unlink(join(dir, DATA_NEW)).catch(ignoreMissing);
    await symlink(version, join(dir, DATA_NEW));
    await rename(join(dir, DATA_NEW), join(dir, DATA));
  }
  // Also when nothing changed: a crash may have stopped the last update here.
  await link(dir, payload);
  await sweep(dir, version, payload);
  return !same;
}

/** Whether something was ever written to `dir`. */
export async function isWritten(dir: string): Promise<boolean> {
  return (await currentVersion(dir)) !== undefined;
}

async function currentVersion(dir: string): Promise<string | undefined> {
  try {
    return await readlink(join(dir, DATA));
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EINVAL") return undefined;
    throw error;
  }
}

async function writeVersion(dir: string, payload: Payload, now: Date): Promise<string> {
  const stamp = now.toISOString().slice(0, 19).replace(/[-:T]/g, "_");
  const version = `..${stamp}.${randomBytes(4).toString("hex")}`;
  const at = join(dir, version);
  try {
    await makeDir(at);
    for (const [path, { content, mode, gid }] of payload) {
      await makeParents(at, path);
      const file = join(at, path);
      await writeFile(file, content, { flag: "wx", mode: 0o600 });
      if (gid !== undefined) await chown(file, -1, gid);
      await chmod(file, mode);
    }
  } catch (error) {
    await rm(at, { recursive: true, force: true });
    throw error;
  }
  return version;
}

/** Directories are 0755 whatever the umask is. */
async function makeDir(dir: string): Promise<void> {
  await mkdir(dir);
  await chmod(dir, 0o755);
}

async function makeParents(root: string, path: string): Promise<void> {
  const parts = dirname(path)
    .split("/")
    .filter((part) => part !== ".");
  let at = root;
  for (const part of parts) {
    at = join(at, part);
    await makeDir(at).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
    });
  }
}

/** Whether a version has exactly these files with these modes. */
async function holds(version: string, payload: Payload): Promise<boolean> {
  const there = await files(version, "");
  if (there === undefined || there.length !== payload.size) return false;
  for (const path of there) {
    const wanted = payload.get(path);
    if (wanted === undefined) return false;
    const stats = await lstat(join(version, path));
    if (stats.gid !== (wanted.gid ?? 0)) return false;
    if (!stats.isFile() || (stats.mode & 0o7777) !== wanted.mode || stats.size !== wanted.content.length) return false;
    if (!(await readFile(join(version, path))).equals(wanted.content)) return false;
  }
  return true;
}

async function files(root: string, path: string): Promise<string[] | undefined> {
  try {
    const found: string[] = [];
    for (const entry of await readdir(join(root, path), { withFileTypes: true })) {
      const child = path === "" ? entry.name : `${path}/${entry.name}`;
      if (entry.isDirectory()) found.push(...((await files(root, child)) ?? []));
      else found.push(child);
    }
    return found;
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return undefined;
    throw error;
  }
}

function visible(payload: Payload): Set<string> {
  return new Set([...payload.keys()].map((path) => path.split("/")[0] ?? path));
}

async function link(dir: string, payload: Payload): Promise<void> {
  for (const name of visible(payload)) {
    await symlink(join(DATA, name), join(dir, name)).catch((error: unknown) => {
      if (errnoOf(error) !== "EEXIST") throw error;
    });
  }
}

/** Removes older versions, and links to what is no longer there. Files that are not ours stay. */
async function sweep(dir: string, version: string, payload: Payload): Promise<void> {
  const wanted = visible(payload);
  for (const entry of await readdir(dir, { withFileTypes: true })) {
    const path = join(dir, entry.name);
    if (entry.name === DATA || entry.name === version || wanted.has(entry.name)) continue;
    if (entry.name.startsWith("..")) await rm(path, { recursive: true, force: true });
    else if (entry.isSymbolicLink() && (await readlink(path)) === join(DATA, entry.name))
      await unlink(path).catch(ignoreMissing);
  }
}

function ignoreMissing(error: unknown): void {
  if (errnoOf(error) !== "ENOENT") throw error;
}
