import { existsSync, readdirSync, statSync } from "node:fs";
import { mkdir, readFile, rm, rmdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf, GantryError } from "../../../system/errors.ts";
import { namesIn } from "../../namespace/files.ts";
import { FIRST_VM_ID, LAST_VM_ID } from "../../vm-ids.ts";

/** Ids are the host's: all roots share this directory. One file per id that is taken; it tells for which VM. */
const DIRECTORY = "/run/gantry-vm-ids";
/** Between taking an id and making the directory that it is for, nobody takes it away. */
const GRACE_MS = 60_000;

/**
 * A user id (and group id) that no other VM on this host has, under whatever root.
 * @param owner the directory that the VM is in
 * @throws GantryError host-unsupported when all are taken
 */
export async function takeVmId(owner: string, directory = DIRECTORY): Promise<number> {
  for (let id = FIRST_VM_ID, taken = await takenIn(directory); id <= LAST_VM_ID; id++) {
    if (taken.has(id)) continue;
    try {
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await writeFile(join(directory, String(id)), owner, { flag: "wx", mode: 0o600 });
      return id;
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EEXIST")
        taken.add(id); // somebody was faster
      else if (errno !== "ENOENT")
        throw error; // the directory has just been removed with its last id
      else id--;
    }
  }
  throw new GantryError("host-unsupported", "every user id for micro-VMs is taken", {
    kind: "system",
    hint: `Remove some pods; see ${directory} for who has them.`,
  });
}

/** Gives it back, once nothing runs as it any more. One that is somebody else's, or nobody's, is left as it is. */
export async function releaseVmId(id: number, owner: string, directory = DIRECTORY): Promise<void> {
  const path = join(directory, String(id));
  if ((await ownerOf(path)) !== owner) return;
  await rm(path, { force: true });
  await removeWhenEmpty(directory);
}

/** From now on the id is another directory's, where the same VM is. */
export async function handOverVmId(id: number, from: string, to: string, directory = DIRECTORY): Promise<void> {
  const path = join(directory, String(id));
  if ((await ownerOf(path)) === from) await writeFile(path, to, { mode: 0o600 });
}

/** Gives back what a directory that is gone had. */
export async function releaseVmIdsOf(owner: string, directory = DIRECTORY): Promise<void> {
  for (const id of await takenIn(directory)) await releaseVmId(id, owner, directory);
}

/** Gives back what crashes have left: ids whose VM has no directory and no process. @returns their numbers */
export async function reclaimVmIds(directory = DIRECTORY): Promise<number[]> {
  const reclaimed: number[] = [];
  for (const id of await takenIn(directory)) {
    const path = join(directory, String(id));
    const owner = await ownerOf(path);
    if (owner === undefined || (owner !== "" && existsSync(owner))) continue;
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Number.POSITIVE_INFINITY);
    if (age < GRACE_MS || runsAs(id)) continue;
    await rm(path, { force: true });
    reclaimed.push(id);
  }
  if (reclaimed.length > 0) await removeWhenEmpty(directory);
  return reclaimed;
}

async function takenIn(directory: string): Promise<Set<number>> {
  return new Set((await namesIn(directory)).map(Number).filter(Number.isInteger));
}

async function ownerOf(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}

async function removeWhenEmpty(directory: string): Promise<void> {
  await rmdir(directory).catch((error: unknown) => {
    const errno = errnoOf(error);
    if (errno !== "ENOTEMPTY" && errno !== "EEXIST" && errno !== "ENOENT") throw error;
  });
}

function runsAs(id: number): boolean {
  return readdirSync("/proc").some((name) => {
    if (!/^\d+$/.test(name)) return false;
    return statSync(`/proc/${name}`, { throwIfNoEntry: false })?.uid === id;
  });
}
