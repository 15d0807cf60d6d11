import { existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { exec } from "../../system/exec.ts";
import { cgroupsIn, killCgroup, removeCgroup } from "../cgroup/cgroup.ts";
import { sandboxIds } from "../sandbox-ids.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { namesIn, removeTree } from "./files.ts";
import { mountsBelow, unmountBelow } from "./mounts.ts";
import { removePublicRoot } from "./remove.ts";
import { killWorkers, workersOn } from "./workers.ts";

/**
 * Called while nothing is being created, so that nothing half made is taken for garbage.
 *
 * Removes what belongs to no sandbox that has a directory: monitors, mounts, cgroups, writable layers, exit codes,
 * runtime state, leases. @returns what was removed, one line each
 */
export async function collectGarbage(ctx: Context, signal: AbortSignal): Promise<string[]> {
  const { dirs } = ctx;
  const done: string[] = [];
  const note = (what: string): number => done.push(what);

  for (const name of await namesIn(dirs.sandboxes)) {
    if (!name.startsWith(".")) continue;
    await removeTree(join(dirs.sandboxes, name)); // a sandbox that never got its name
    note(`unfinished directory ${name}`);
  }
  const sandboxes = new Set(await namesIn(dirs.sandboxes));
  const containers = new Set<string>();
  const pods = new Set<string>();
  let damaged = false;
  for (const id of sandboxes) {
    const record = await ctx.records.sandbox(sandboxFiles(dirs, id).record).catch(() => undefined);
    if (record) pods.add(`pod${record.config.pod.uid}`);
    else damaged = true;
    // One from before a reboot comes to no life again; its pod may be complete, and keep it for ever.
    if (record && record.bootId !== ctx.bootId) await ctx.network.detach(id, signal);
    for (const name of await namesIn(sandboxFiles(dirs, id).containers)) {
      if (!name.startsWith(".")) {
        containers.add(name);
        continue;
      }
      await removeTree(join(sandboxFiles(dirs, id).containers, name));
      note(`unfinished directory ${name}`);
    }
    containers.add(`${id}-pause`);
  }

  for (const { path } of workersOn(dirs.sandboxes)) {
    const [id = "", , container = ""] = path.slice(dirs.sandboxes.length + 1).split("/");
    const directory = join(sandboxFiles(dirs, id).containers, container);
    if (id === "" || existsSync(container === "" ? sandboxFiles(dirs, id).root : directory)) continue;
    await killWorkers(directory);
    note(`monitor of ${directory}`);
  }
  for (const path of mountsBelow(dirs.sandboxes)) {
    const [id] = path.slice(dirs.sandboxes.length + 1).split("/");
    if (id === undefined || id === "" || sandboxes.has(id)) continue;
    await unmountBelow(path, signal);
    note(`mount ${path}`);
  }
  await removeOrphans(ctx, containers, note);
  // With a damaged record nobody can say whose cgroup it is: that sandbox is removed first.
  if (!damaged) {
    for (const pod of cgroupsIn(ctx.cgroups, dirs.cgroup)) {
      if (!pod.startsWith("pod") || pods.has(pod)) continue;
      await killCgroup(ctx.cgroups, `${dirs.cgroup}/${pod}`);
      await removeCgroup(ctx.cgroups, `${dirs.cgroup}/${pod}`);
      note(`cgroup ${dirs.cgroup}/${pod}`);
    }
  }
  for (const id of await namesIn(dirs.layers)) {
    if (sandboxes.has(id)) continue;
    await removeTree(join(dirs.layers, id));
    note(`writable layers of ${id}`);
  }
  return [...done, ...(await ctx.network.collectGarbage(await sandboxIds(dirs), signal))];
}

/** Exit codes and runtime state of containers that are no more. */
async function removeOrphans(
  ctx: Context,
  containers: ReadonlySet<string>,
  note: (what: string) => void,
): Promise<void> {
  for (const name of await namesIn(ctx.dirs.exits)) {
    if (containers.has(name.split(".")[0] ?? name)) continue;
    await rm(join(ctx.dirs.exits, name), { force: true });
    note(`exit code of ${name}`);
  }
  for (const name of await namesIn(ctx.dirs.publicRoots)) {
    if (containers.has(name)) continue;
    await removePublicRoot(join(ctx.dirs.publicRoots, name));
    note(`root of ${name}`);
  }
  for (const runtime of await namesIn(ctx.dirs.runtimes)) {
    const root = join(ctx.dirs.runtimes, runtime);
    for (const entry of readdirSync(root, { withFileTypes: true })) {
      if (!entry.isDirectory() || entry.name.startsWith(".") || containers.has(entry.name)) continue;
      await exec(runtime, ["--root", root, "delete", "--force", entry.name], { okCodes: "any" }).catch(() => {});
      await removeTree(join(root, entry.name));
      note(`${runtime} state of ${entry.name}`);
    }
  }
}
