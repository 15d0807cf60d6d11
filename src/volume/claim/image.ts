/** A file system in a file: what a claim's data is in. Its size is the claim's, so that no pod can write more than that. */
import { chmod, open, rename, rm, rmdir, stat, statfs, truncate } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { formatBytes } from "../../bytes.ts";
import { errnoOf, GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { type MountPoint, mountPath, readMounts, unmount } from "../../system/mounts.ts";

/** No ext4 with a journal is smaller. */
export const LEAST_BYTES = 8 * 2 ** 20;
const BLOCK = 2 ** 20;
/** How long a copy of a mount is waited for, and how often that is looked at, ms. */
const LET_GO_MS = 3000;
const LOOK_EVERY_MS = 50;
const E2FSPROGS = "apt-get install e2fsprogs";

/** The size of the file for a claim of so many bytes: whole MiB, so that loop device and file system agree. Pure. */
export function imageBytes(requested: number): number {
  return Math.max(LEAST_BYTES, Math.ceil(requested / BLOCK) * BLOCK);
}

/**
 * Makes an empty one, of which only what is written takes room on the disk. Open to every user, as an emptyDir is.
 * @throws GantryError volume-failed, disk-full, command-missing
 */
export async function makeImage(file: string, bytes: number, signal: AbortSignal): Promise<void> {
  await requireRoom(dirname(file), bytes);
  const fresh = `${file}.new`;
  try {
    await (await open(fresh, "w", 0o600)).close();
    await truncate(fresh, bytes);
    const options = ["-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard,root_owner=0:0", fresh];
    await exec("mkfs.ext4", options, { signal, installHint: E2FSPROGS });
    await rename(fresh, file);
  } catch (error) {
    await rm(fresh, { force: true });
    throw failed(`cannot make ${file}`, error);
  }
}

/**
 * As files are sparse, volumes may together promise more than there is; but none of them alone.
 * @throws GantryError disk-full
 */
async function requireRoom(dir: string, bytes: number): Promise<void> {
  const free = await freeBytes(dir);
  if (bytes <= free) return;
  throw new GantryError("disk-full", lackOfRoom(bytes, free), { kind: "system", hint: MAKE_ROOM });
}

/** Bytes that are free for it on the disk that the directory is on. */
export async function freeBytes(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/** Pure. */
export function lackOfRoom(bytes: number, free: number): string {
  return `${formatBytes(bytes)} are asked for, and only ${formatBytes(free)} are free on the disk`;
}

export const MAKE_ROOM = "Ask for less, or make room: 'gantry image gc' removes images that nobody needs.";

/**
 * Mounts it, checked and mended before; one that is mounted stays as it is.
 * @param fresh nobody has written to it: the directory that mkfs makes for fsck is taken away, and anybody may write
 * @throws GantryError volume-failed (damaged), command-missing
 */
export async function mountImage(file: string, target: string, fresh: boolean, signal: AbortSignal): Promise<void> {
  if ((await deviceOf(target)) !== undefined) return;
  // Somebody's mount namespace may have it still, though it is unmounted here: it is in use then, and must not be mended.
  const inUse = await loopDeviceOf(file, signal);
  if (inUse === undefined) await checkImage(file, signal);
  // What is damaged is not written to any further, whatever the file system was made with.
  const options = `${inUse === undefined ? "loop," : ""}discard,nodev,nosuid,errors=remount-ro`;
  try {
    await exec("mount", ["-t", "ext4", "-o", options, "--", inUse ?? file, target], { signal });
  } catch (error) {
    throw failed(`cannot mount ${file}`, error);
  }
  if (!fresh) return;
  await rmdir(join(target, "lost+found")).catch(() => {});
  await chmod(target, 0o777);
}

/** Mends what a crash left; what it can't mend without losing something is for a person to decide. */
async function checkImage(file: string, signal: AbortSignal): Promise<void> {
  const { exitCode, stdout, stderr } = await exec("e2fsck", ["-p", file], {
    signal,
    installHint: E2FSPROGS,
    okCodes: [0, 1, 2, 4, 8, 12],
  });
  if (exitCode < 4) return;
  const said = `${stdout}\n${stderr}`.trim().split("\n").at(-1) ?? "";
  throw new GantryError("volume-failed", `the file system in ${file} is damaged: ${said}`, {
    kind: "system",
    hint: `No pod has it mounted: copy the file, then mend it with 'e2fsck -f ${file}'; the pod starts by itself then.`,
  });
}

/**
 * Makes it larger, mounted or not. The kernel lets only who has CAP_SYS_RESOURCE do so while it is mounted.
 * @returns false when it has to wait until no pod has it: nothing has changed then
 * @throws GantryError volume-failed, disk-full
 */
export async function growImage(file: string, target: string, bytes: number, signal: AbortSignal): Promise<boolean> {
  try {
    await requireRoom(dirname(file), bytes - (await sizeOf(file)).bytes);
    const device = await deviceOf(target);
    if (device !== undefined) return await growMounted(file, device, bytes, signal);
    if (!(await isLetGo(file, signal))) return false;
    await checkImage(file, signal);
    await exec("e2fsck", ["-fp", file], { signal, okCodes: [0, 1, 2] }); // resize2fs insists on it
    await truncate(file, bytes);
    await exec("resize2fs", [file], { signal, installHint: E2FSPROGS });
    return true;
  } catch (error) {
    throw failed(`cannot make ${file} larger`, error);
  }
}

/**
 * Whether nobody has it any more. Every process that is about to enter a mount namespace of its own, as containers and
 * VMs do when they start, has a copy of the host's mounts for a moment, and the kernel does not tell when that is over.
 */
async function isLetGo(file: string, signal: AbortSignal): Promise<boolean> {
  for (let tries = LET_GO_MS / LOOK_EVERY_MS; tries > 0; tries--) {
    if ((await loopDeviceOf(file, signal)) === undefined) return true;
    await setTimeout(LOOK_EVERY_MS, undefined, { signal });
  }
  return false;
}

async function growMounted(file: string, device: string, bytes: number, signal: AbortSignal): Promise<boolean> {
  const { bytes: before } = await sizeOf(file);
  await truncate(file, bytes);
  await exec("losetup", ["--set-capacity", device], { signal });
  try {
    await exec("resize2fs", [device], { signal, installHint: E2FSPROGS });
    return true;
  } catch (error) {
    if (!/not permitted|Permission denied/i.test(messageOf(error))) throw error;
    await truncate(file, before);
    await exec("losetup", ["--set-capacity", device], { signal });
    return false;
  }
}

/** The loop device that stands for the file in any mount namespace. */
async function loopDeviceOf(file: string, signal: AbortSignal): Promise<string | undefined> {
  const { stdout } = await exec("losetup", ["--noheadings", "--output", "NAME", "--associated", file], { signal });
  return stdout.trim().split(/\s+/)[0] || undefined;
}

/** What is mounted there; undefined when nothing is. */
export async function mountOf(target: string): Promise<MountPoint | undefined> {
  const path = await mountPath(target).catch(() => undefined);
  return (await readMounts()).findLast((mount) => mount.path === path);
}

/** The loop device that is mounted there. */
async function deviceOf(target: string): Promise<string | undefined> {
  return (await mountOf(target))?.source;
}

export async function unmountImage(target: string, signal: AbortSignal): Promise<void> {
  if ((await deviceOf(target)) !== undefined) await unmount(target, signal);
}

/** Bytes; 0 when there is none. */
export async function sizeOf(file: string): Promise<{ readonly bytes: number; readonly onDisk: number }> {
  try {
    const { size, blocks } = await stat(file);
    return { bytes: size, onDisk: blocks * 512 };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return { bytes: 0, onDisk: 0 };
    throw error;
  }
}

function failed(what: string, error: unknown): GantryError {
  if (isGantryError(error, "cancelled", "command-missing", "volume-failed", "disk-full")) return error;
  const full = errnoOf(error) === "ENOSPC" || /No space left/.test(messageOf(error));
  return new GantryError(full ? "disk-full" : "volume-failed", `${what}: ${messageOf(error)}`, {
    kind: "system",
    cause: error,
    hint: full ? MAKE_ROOM : "Run 'gantry doctor' to see what is missing.",
  });
}
