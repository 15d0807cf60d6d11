import { existsSync } from "node:fs";
import { join } from "node:path";
import { cgroupsIn, killCgroup, removeCgroup } from "../cgroup/cgroup.ts";
import { namesIn, removeTree } from "../namespace/files.ts";
import { mountsBelow, unmountBelow } from "../namespace/mounts.ts";
import { sandboxIds } from "../sandbox-ids.ts";
import type { Context } from "./context.ts";
import { cgroupOf, STANDBY, sandboxFiles, VM_CGROUP, vmCgroup } from "./dirs.ts";
import { reclaimVmIds, releaseVmIdsOf } from "./jail/ids.ts";
import { killQemus, qemusBelow } from "./qemu/process.ts";
import { collectScratch } from "./scratch.ts";
import { isAbandoned } from "./template/stage.ts";

/**
 * Called while nothing is being created. Removes what belongs to no sandbox that has a directory: QEMUs, mounts,
 * cgroups, user ids, leases. @returns what was removed, one line each
 */
export async function collectGarbage(ctx: Context, signal: AbortSignal): Promise<string[]> {
  const { dirs } = ctx;
  const done: string[] = [];
  for (const name of await namesIn(dirs.sandboxes)) {
    if (!name.startsWith(".") || ctx.standbys.ids.has(name)) continue;
    if (name.startsWith(STANDBY)) await removeStandby(ctx, join(dirs.sandboxes, name), signal);
    await removeTree(join(dirs.sandboxes, name)); // a sandbox that never got its name
    done.push(`unfinished directory ${name}`);
  }
  const sandboxes = new Set(await namesIn(dirs.sandboxes));
  const cgroups = new Set<string>();
  // One that is over, or from before a reboot, comes to no life again; its pod may be complete, and keep it for ever.
  for (const id of sandboxes) {
    const record = await ctx.records.sandbox(sandboxFiles(dirs, id).record).catch(() => undefined);
    if (record) cgroups.add(cgroupOf(dirs, record));
    if (record && (record.phase === "stopped" || record.bootId !== ctx.bootId)) await ctx.network.detach(id, signal);
  }
  for (const { directory } of qemusBelow(dirs.sandboxes)) {
    if (existsSync(directory)) continue;
    await killQemus(directory);
    done.push(`QEMU of ${directory}`);
  }
  for (const name of await namesIn(dirs.templates)) {
    if (!isAbandoned(dirs.templates, name)) continue;
    await killQemus(join(dirs.templates, name));
    await removeTree(join(dirs.templates, name));
    done.push(`unfinished template ${name}`);
  }
  done.push(...(await collectScratch(dirs.scratch)));
  for (const path of mountsBelow(dirs.sandboxes)) {
    const [id] = path.slice(dirs.sandboxes.length + 1).split("/");
    if (id === undefined || id === "" || sandboxes.has(id)) continue;
    await unmountBelow(path, signal);
    done.push(`mount ${path}`);
  }
  for (const name of cgroupsIn(ctx.cgroups, dirs.cgroup)) {
    const id = name.startsWith(VM_CGROUP) ? name.slice(VM_CGROUP.length) : undefined;
    if (id === undefined || sandboxes.has(id) || cgroups.has(vmCgroup(dirs, id))) continue;
    await killCgroup(ctx.cgroups, vmCgroup(dirs, id));
    await removeCgroup(ctx.cgroups, vmCgroup(dirs, id));
    done.push(`cgroup ${vmCgroup(dirs, id)}`);
  }
  for (const id of await reclaimVmIds()) done.push(`user id ${id}`);
  return [...done, ...(await ctx.network.collectGarbage(await sandboxIds(ctx.paths), signal))];
}

/** One that a daemon which was killed has left behind; its cgroup goes with those of nobody. */
async function removeStandby(ctx: Context, directory: string, signal: AbortSignal): Promise<void> {
  await killQemus(directory);
  await unmountBelow(directory, signal);
  await removeTree(directory);
  await releaseVmIdsOf(directory);
  ctx.records.forget(directory);
}
