/** The group of a pod's volumes (securityContext.fsGroup), as the kubelet sets it (pkg/volume/volume_linux.go). */
import { constants } from "node:fs";
import { chmod, chown, type FileHandle, open, readdir, stat } from "node:fs/promises";
import type { Pod } from "../manifest/index.ts";
import { errnoOf } from "../system/errors.ts";
import type { Payload } from "./payload.ts";

/** From <asm-generic/fcntl.h>. */
const O_PATH = 0o10000000;
const SETGID = 0o2000;
const WRITABLE = 0o660;
const READABLE = 0o440;
/** Directories: may be entered. */
const ENTERED = 0o110;

export interface FsGroup {
  readonly gid: number;
  /** What is as it should be at the top is left as it is below. */
  readonly onlyOnMismatch: boolean;
}

export function fsGroupOf({ spec }: Pod): FsGroup | undefined {
  const { fsGroup, fsGroupChangePolicy } = spec.securityContext;
  return fsGroup === undefined ? undefined : { gid: fsGroup, onlyOnMismatch: fsGroupChangePolicy === "OnRootMismatch" };
}

/** Files that Gantry writes: the group may read them. Pure. */
export function readableByGroup(payload: Payload, group: FsGroup | undefined): Payload {
  if (group === undefined) return payload;
  return new Map([...payload].map(([path, file]) => [path, { ...file, mode: file.mode | READABLE, gid: group.gid }]));
}

/**
 * Gives a directory and all below it to the group: files it may read and write, directories pass it on. Apps may have
 * the volume already: what is opened is what is changed, so that no link leads elsewhere.
 */
export async function giveToGroup(dir: string, { gid, onlyOnMismatch }: FsGroup): Promise<void> {
  if (onlyOnMismatch) {
    const top = await stat(dir);
    const wanted = SETGID | WRITABLE | ENTERED;
    if (top.gid === gid && (top.mode & wanted) === wanted) return;
  }
  const handle = await open(dir, O_PATH | constants.O_DIRECTORY);
  await give(handle, gid).finally(() => handle.close());
}

/** Only this directory, which is empty. */
export async function giveDirectory(dir: string, gid: number): Promise<void> {
  const { mode } = await stat(dir);
  await chown(dir, -1, gid);
  await chmod(dir, (mode & 0o7777) | SETGID | WRITABLE | ENTERED);
}

/** The top comes last: it tells, by OnRootMismatch, that all below is done. */
async function give(handle: FileHandle, gid: number): Promise<void> {
  const path = `/proc/self/fd/${handle.fd}`;
  const found = await handle.stat();
  if (found.isSymbolicLink()) return;
  if (found.isDirectory()) {
    for (const name of await readdir(path)) {
      let below: FileHandle;
      try {
        below = await open(`${path}/${name}`, O_PATH | constants.O_NOFOLLOW);
      } catch (error) {
        if (errnoOf(error) === "ENOENT") continue; // gone meanwhile
        throw error;
      }
      await give(below, gid).finally(() => below.close());
    }
  }
  const mode = found.isDirectory() ? SETGID | WRITABLE | ENTERED : WRITABLE;
  // chown takes setuid and setgid away from files; chmod comes after it.
  await chown(path, -1, gid);
  await chmod(path, (found.mode & 0o7777) | mode);
}
