import { existsSync } from "node:fs";
import { rm, rmdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { exec } from "../../system/exec.ts";
import { killCgroup, removeCgroup, removeEmptyCgroup } from "../cgroup/cgroup.ts";
import type { Context } from "./context.ts";
import { type ContainerFiles, containerFiles, pauseId, podCgroup, sandboxFiles } from "./dirs.ts";
import { namesIn, removeOwnTree, removeTree } from "./files.ts";
import { monitorAlive } from "./list.ts";
import { unmountBelow } from "./mounts.ts";
import { isAlive, type ProcessId, sendSignal } from "./proc.ts";
import type { SandboxRecord } from "./records.ts";
import { killWorkers } from "./workers.ts";

/** How long conmon may take to write the exit code of a container that was killed. */
const MONITOR_TIMEOUT_MS = 1000;

/** Removes every trace of a container, whatever state it is in. Nothing there is fine. */
export async function dismantleContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  sandbox: SandboxRecord | undefined,
): Promise<void> {
  const files = containerFiles(ctx.dirs, sandboxId, id);
  ctx.owners.delete(id);
  if (!existsSync(files.root)) return;
  await endContainer(ctx, id, files, sandbox);
  await unmountBelow(files.root);
  await clearContainer(ctx, files);
}

/** Ends whatever runs of a container. */
async function endContainer(
  ctx: Context,
  id: string,
  files: ContainerFiles,
  sandbox: SandboxRecord | undefined,
): Promise<void> {
  const record = await ctx.records.container(files.record).catch(() => undefined);
  const stale = record !== undefined && record.bootId !== ctx.bootId;
  if (!stale) {
    const half = record === undefined || record.phase === "creating";
    if (half) await killWorkers(files.root);
    if (sandbox) await killCgroup(ctx.cgroups, `${podCgroup(ctx.dirs, sandbox.config.pod.uid)}/${id}`);
    if (record?.process && isAlive(record.process)) sendSignal(record.process.pid, 9);
    if (!half) await monitorGone(ctx, files);
  }
  await forget(ctx, sandbox, id, record?.process);
}

/** Removes the files of a container that has ended and has nothing mounted any more. */
async function clearContainer(ctx: Context, files: ContainerFiles): Promise<void> {
  await removePublicRoot(files.publicRootfs);
  await removeTree(files.layer);
  await rm(files.exit, { force: true });
  removeOwnTree(files.root);
  ctx.records.forget(files.record);
}

/** Also used on what no container owns any more. Removes nothing that is still mounted. */
export async function removePublicRoot(path: string): Promise<void> {
  if (!existsSync(path)) return;
  await unmountBelow(path);
  await rmdir(path);
  await rmdir(dirname(path)).catch(() => {}); // in use by others
}

/** conmon ends by itself once it has written the exit code; a file written after we are gone would be litter. */
async function monitorGone(ctx: Context, files: ContainerFiles): Promise<void> {
  const deadline = performance.now() + MONITOR_TIMEOUT_MS;
  while (monitorAlive(ctx, files) && performance.now() < deadline) await sleep(2);
  if (monitorAlive(ctx, files)) await killWorkers(files.root);
}

/**
 * Has the OCI runtime forget a container, and removes its cgroup. Of one whose process is dead it knows no more than a
 * directory: for that we start no process.
 */
async function forget(
  ctx: Context,
  sandbox: SandboxRecord | undefined,
  id: string,
  process?: ProcessId,
): Promise<void> {
  const dead = process !== undefined && !isAlive(process);
  const runtimes = sandbox === undefined ? [] : [ctx.runtimes.at(sandbox.runtime)];
  for (const runtime of runtimes) {
    const state = join(runtime.root, id);
    if (!existsSync(state)) continue;
    if (!dead && existsSync(runtime.path)) {
      await exec(runtime.path, ["--root", runtime.root, "delete", "--force", id], {
        okCodes: "any",
        timeoutMs: 20_000,
      });
    }
    await removeTree(state); // what a killed `create` left half written, it does not know
  }
  if (!sandbox) return;
  const cgroup = `${podCgroup(ctx.dirs, sandbox.config.pod.uid)}/${id}`;
  const busy = await removeCgroup(ctx.cgroups, cgroup);
  if (busy.length > 0) ctx.log.warn({ cgroup: busy }, "a cgroup is still busy; collected later");
}

/** Removes every trace of a sandbox, whatever state it is in. Nothing there is fine. */
export async function dismantleSandbox(ctx: Context, id: string, signal: AbortSignal): Promise<void> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (record?.phase === "creating") await killWorkers(files.root); // a crash may have left an unshare under way
  if (record && record.phase !== "stopped" && existsSync(files.root)) {
    await ctx.records.save(files.record, { ...record, phase: "stopped" });
  }
  const names = (await namesIn(files.containers)).filter((name) => !name.startsWith("."));
  const containers = names.map((name) => ({ name, files: containerFiles(ctx.dirs, id, name) }));
  for (const container of containers) {
    ctx.owners.delete(container.name);
    await endContainer(ctx, container.name, container.files, record);
  }
  if (record) await dismantlePause(ctx, record);
  await ctx.network.detach(id, signal);
  await unmountBelow(files.root, signal); // those of its containers, too: all with one process
  for (const container of containers) await clearContainer(ctx, container.files);
  await removeTree(files.layers);
  removeOwnTree(files.root);
  ctx.records.forget(files.record);
  ctx.folders.forget(files.containers);
  // The pod's cgroup goes with its last sandbox: one that has others in it stays.
  if (record) removeEmptyCgroup(ctx.cgroups, podCgroup(ctx.dirs, record.config.pod.uid));
}

/** Ends the process that holds a shared pid namespace, and with it whatever is left in there. */
export async function dismantlePause(ctx: Context, record: SandboxRecord): Promise<void> {
  const { config, bootId, pause } = record;
  if (!config.shareProcessNamespace || config.hostPID) return;
  const id = pauseId(config.id);
  if (bootId === ctx.bootId) {
    await killWorkers(sandboxFiles(ctx.dirs, config.id).pause);
    await killCgroup(ctx.cgroups, `${podCgroup(ctx.dirs, config.pod.uid)}/${id}`);
    if (pause && isAlive(pause)) sendSignal(pause.pid, 9);
  }
  await forget(ctx, record, id);
}
