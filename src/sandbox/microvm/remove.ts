import { existsSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { messageOf } from "../../system/errors.ts";
import { removeCgroup } from "../cgroup/cgroup.ts";
import { namesIn, removeTree } from "../namespace/files.ts";
import { unmountBelow } from "../namespace/mounts.ts";
import { isAlive } from "../namespace/proc.ts";
import type { Context } from "./context.ts";
import { cgroupOf, containerFiles, sandboxFiles, vmCgroup } from "./dirs.ts";
import { releaseVmId } from "./jail/ids.ts";
import { containersOf, slotUses } from "./list.ts";
import { ejectImage } from "./qemu/devices.ts";
import { killQemus } from "./qemu/process.ts";
import type { SandboxRecord } from "./records.ts";
import { isRunning } from "./sandbox.ts";
import { isLastOnDisk } from "./slots.ts";

/** Removes every trace of a container, whatever state it is in. Nothing there is fine. */
export async function dismantleContainer(
  ctx: Context,
  sandbox: SandboxRecord | undefined,
  sandboxId: string,
  id: string,
  signal: AbortSignal,
): Promise<void> {
  const files = containerFiles(ctx.dirs, sandboxId, id);
  if (!existsSync(files.root)) return;
  const record = await ctx.records.container(files.record).catch(() => undefined);
  if (sandbox && isRunning(ctx, sandbox)) {
    const machine = ctx.machines.get(sandboxId);
    await machine.guest.request({ type: "remove", body: { container: id } }, signal);
    await machine.guest.refresh(signal);
    const others = await slotUses(ctx, sandbox);
    if (record && isLastOnDisk(others, id, record.disk)) await ejectImage(await machine.qmp(signal), record.disk);
  }
  await removeTree(files.root);
  ctx.records.forget(files.root);
}

/** Removes every trace of a sandbox, whatever state it is in. Nothing there is fine. */
export async function dismantleSandbox(ctx: Context, id: string, signal: AbortSignal): Promise<void> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record).catch(() => undefined);
  await powerOff(ctx, id);
  await ctx.network.detach(id, signal);
  await removeCgroup(ctx.cgroups, record === undefined ? vmCgroup(ctx.dirs, id) : cgroupOf(ctx.dirs, record));
  await unmountBelow(files.root, signal);
  await removeTree(files.root);
  if (record?.uid !== undefined) await releaseVmId(record.uid, files.root);
  ctx.records.forget(files.root);
  ctx.machines.drop(id);
  ctx.volumes.forget(id);
}

/** How long a guest may take over writing back what it has and switching itself off; it takes tens of ms. */
const POWER_OFF_MS = 3000;
const POWER_OFF_POLL_MS = 3;

/** Ends the VM, by its own means or by force; whatever still ran in it is noted as killed. */
export async function powerOff(ctx: Context, id: string): Promise<void> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (record && record.phase === "ready") {
    for (const container of await containersOf(ctx, record)) {
      if (container.state === "exited" || container.state === "unknown") continue;
      const exit = { exitCode: 137, finishedAt: Math.max(ctx.clock.now(), container.startedAt ?? 0), oomKilled: false };
      await ctx.records.save(containerFiles(ctx.dirs, id, container.id).exit, exit);
    }
  }
  if (record && record.phase !== "stopped") await ctx.records.save(files.record, { ...record, phase: "stopped" });
  if (record) await switchOff(ctx, record);
  if (existsSync(files.root)) await killQemus(files.root);
  ctx.machines.drop(id);
}

/** Has the guest end what runs, write back what it holds and power off. One that does not is left to be killed. */
async function switchOff(ctx: Context, record: SandboxRecord): Promise<void> {
  const { id } = record.config;
  const { guest } = ctx.machines.get(id);
  if (record.process === undefined || !isRunning(ctx, record) || guest.known === undefined) return;
  const deadline = performance.now() + POWER_OFF_MS;
  const limit = AbortSignal.timeout(POWER_OFF_MS);
  await guest.request({ type: "shutdown", body: null }, limit).catch((error: unknown) => {
    ctx.log.warn({ sandbox: id, reason: messageOf(error) }, "a micro-VM does not power off, it is killed");
  });
  while (isAlive(record.process) && performance.now() < deadline) await sleep(POWER_OFF_POLL_MS);
}

/** Names of the containers that have a directory. */
export async function containerIds(ctx: Context, sandboxId: string): Promise<string[]> {
  return (await namesIn(sandboxFiles(ctx.dirs, sandboxId).containers)).filter((name) => !name.startsWith("."));
}
