import { chmod, lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../../system/errors.ts";
import { FIRST_VM_ID } from "../vm-ids.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { namesIn } from "./files.ts";
import type { OciIdMapping } from "./oci/types.ts";

/** How many ids a pod gets: what Kubernetes gives, and enough for every id that images use. */
export const IDS_PER_POD = 65_536;

/** User ids are 32 bits and the upper half upsets some file systems; the last of the lower belong to micro-VMs. */
const LAST_HOST_ID = FIRST_VM_ID - 1;

/** Default for where the ids of user namespaces begin: above those of people and of rootless containers. */
export const FIRST_HOST_ID = 2 ** 20;

/** Ranges that this process has handed out but that no record on disk shows yet. */
export type Reservations = Set<number>;

/**
 * A range of host ids that no other sandbox under this root has.
 * @throws GantryError host-unsupported when all are taken
 */
export async function allocateIds(ctx: Context, reserved: Reservations): Promise<number> {
  const taken = new Set(reserved);
  for (const id of await namesIn(ctx.dirs.sandboxes)) {
    const record = await ctx.records.sandbox(sandboxFiles(ctx.dirs, id).record).catch(() => undefined);
    if (record?.firstHostId !== undefined) taken.add(record.firstHostId);
  }
  for (let first = ctx.firstHostId; first + IDS_PER_POD - 1 <= LAST_HOST_ID; first += IDS_PER_POD) {
    if (taken.has(first)) continue;
    reserved.add(first);
    return first;
  }
  throw new GantryError("host-unsupported", "every range of user ids is taken by a pod with hostUsers: false", {
    hint: "Remove some of those pods, or lower the first id in the configuration.",
  });
}

export function idMapping(firstHostId: number): OciIdMapping {
  return { containerID: 0, hostID: firstHostId, size: IDS_PER_POD };
}

/**
 * Makes everything in a container's root belong to the pod's range of ids. The root is an overlay with
 * `metacopy`, so that only inodes are copied, not data. Ids beyond the range become the range's "nobody".
 */
export async function shiftOwners(root: string, firstHostId: number, signal: AbortSignal): Promise<void> {
  const { dev } = await lstat(root);
  const shift = async (path: string): Promise<void> => {
    if (signal.aborted)
      throw new GantryError("cancelled", "changing the owners of the root was cancelled", { kind: "system" });
    const stat = await lstat(path);
    await lchown(path, shifted(stat.uid, firstHostId), shifted(stat.gid, firstHostId));
    // chown takes set-user-id and set-group-id bits away
    if (!stat.isSymbolicLink() && (stat.mode & 0o6000) !== 0) await chmod(path, stat.mode & 0o7777);
    if (!stat.isDirectory() || stat.dev !== dev) return;
    const names = await readdir(path);
    for (let i = 0; i < names.length; i += BATCH)
      await Promise.all(names.slice(i, i + BATCH).map((name) => shift(join(path, name))));
  };
  await shift(root);
}

const BATCH = 32;

function shifted(id: number, firstHostId: number): number {
  return firstHostId + (id < IDS_PER_POD ? id : IDS_PER_POD - 2);
}
