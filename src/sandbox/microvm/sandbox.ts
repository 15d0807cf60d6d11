import { randomBytes } from "node:crypto";
import { statSync } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, ObservedSandbox, SandboxConfig } from "../driver.ts";
import { removeTree } from "../namespace/files.ts";
import { isAlive } from "../namespace/proc.ts";
import { SYSCTL_HINT } from "../namespace/runtime-errors.ts";
import { type BootedVm, bootVm } from "./boot-vm.ts";
import { isRefusal } from "./channel/push.ts";
import type { Context } from "./context.ts";
import { cgroupOf, type SandboxFiles, sandboxFiles, VM_CGROUP } from "./dirs.ts";
import { pushEtcFiles } from "./etc-volume.ts";
import { insertImageVolumes } from "./image-volumes.ts";
import { limitVmCpu, makeVmCgroup } from "./jail/cgroup.ts";
import { releaseVmId, takeVmId } from "./jail/ids.ts";
import { observeSandbox } from "./list.ts";
import { joinTap, pinNetns } from "./network/tap.ts";
import type { GuestNetwork } from "./protocol/index.ts";
import type { SandboxRecord } from "./records.ts";
import { refuseSandbox } from "./refusals.ts";
import { dismantleSandbox } from "./remove.ts";
import { checkShared, sharedVolumes } from "./share.ts";
import { standbyKey } from "./standby/build.ts";
import { adoptDirectory, wake } from "./standby/hand-over.ts";

const ENTROPY_BYTES = 256;

/** Creates containers in a sandbox that is not ready yet, the last of it when `configured` says so; never rejects. */
export type Begin = (
  sandbox: SandboxRecord,
  containers: readonly ContainerConfig[],
  configured: Promise<void>,
) => Promise<void>;

/** See SandboxDriver.runSandbox. */
export async function runSandbox(
  ctx: Context,
  { begin: first = [], ...config }: SandboxConfig,
  begin: Begin,
  signal: AbortSignal,
): Promise<ObservedSandbox> {
  refuseSandbox(config);
  await checkShared(sharedVolumes(config));
  ctx.qemu(); // what the host lacks is said before anything is made
  const files = sandboxFiles(ctx.dirs, config.id);
  const before = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (before) {
    const observed = await observeSandbox(ctx, config.id);
    if (observed?.state === "ready") return observed;
    if (before.phase !== "creating") {
      throw new GantryError("conflict", `sandbox ${config.id} was stopped and cannot be run again`, {
        kind: "system",
        hint: "Remove it and make a new one with another id.",
      });
    }
    await dismantleSandbox(ctx, config.id, signal); // what a crash left half done
  }
  // What an error leaves behind is listed as not-ready; whoever called removes it, or calls again.
  await build(ctx, files, config, (sandbox, configured) => begin(sandbox, first, configured), signal);
  const observed = await observeSandbox(ctx, config.id);
  if (observed) return observed;
  throw new GantryError("internal", `sandbox ${config.id} is gone again`, { kind: "system" });
}

async function build(
  ctx: Context,
  files: SandboxFiles,
  config: SandboxConfig,
  beginWith: (sandbox: SandboxRecord, configured: Promise<void>) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const plan = await ctx.plan(config, signal);
  const { shape } = plan;
  const volumes = sharedVolumes(config);
  const standby = volumes.length === 0 ? ctx.standbys.take(standbyKey(ctx, plan)) : undefined;
  const uid = standby?.uid ?? (await takeVmId(files.root));
  const draft: SandboxRecord = {
    ...{ config, createdAt: ctx.clock.now(), bootId: ctx.bootId, phase: "creating", ips: [], shape, uid },
    ...(standby === undefined ? {} : { cgroup: `${VM_CGROUP}${standby.id}` }),
  };
  if (standby !== undefined) await adoptDirectory(ctx, standby, draft);
  else
    await createDirectory(ctx, files, draft).catch(async (error: unknown) => {
      await releaseVmId(uid, files.root); // nobody would know of it
      throw error;
    });
  const path = cgroupOf(ctx.dirs, draft);
  const cgroup = makeVmCgroup(ctx.cgroups, path, shape, config.resources);
  const netns = standby === undefined ? pinNetns(files.net, signal) : Promise.resolve();
  const given = { plan, jail: { uid, cgroup }, volumes, netns };
  const boot = async (): Promise<BootedVm> =>
    (standby && (await wake(ctx, config.id, standby, signal))) ?? (await bootVm(ctx, config.id, given, signal));
  // The network takes its time beside the VM, and both have ended before anybody cleans up.
  const [network, booted] = await Promise.allSettled([netns.then(() => attach(ctx, files, config, signal)), boot()]);
  if (network.status === "rejected") throw network.reason;
  if (booted.status === "rejected") throw booted.reason;
  const { ips, network: guestNetwork } = network.value;
  const up: SandboxRecord = { ...draft, ...booted.value, ips: [...ips], netInode: statSync(files.net).ino };
  const configured = Promise.all([
    configureGuest(ctx, up, guestNetwork, signal),
    pushEtcFiles(ctx, config, ips, signal), // the agent does one thing after the other
    insertImageVolumes(ctx, up, signal),
  ]).then(() => {});
  configured.catch(() => {}); // it is awaited below, after whoever else waits for it
  await beginWith(up, configured);
  await configured;
  limitVmCpu(ctx.cgroups, path, config.resources);
  await ctx.records.save(files.record, { ...up, phase: "ready" });
}

/** The directory appears together with its record, so that `list` always knows whose it is. */
async function createDirectory(ctx: Context, files: SandboxFiles, draft: SandboxRecord): Promise<void> {
  const temporary = join(ctx.dirs.sandboxes, `.${draft.config.id}.new`);
  await removeTree(temporary);
  await mkdir(join(temporary, "containers"), { recursive: true, mode: 0o711 });
  await writeFile(join(temporary, "net"), "", { mode: 0o444 });
  await ctx.records.save(join(temporary, "sandbox.json"), draft);
  await rename(temporary, files.root);
}

async function attach(ctx: Context, files: SandboxFiles, config: SandboxConfig, signal: AbortSignal) {
  const { id, pod, portMappings } = config;
  const request = { sandboxId: id, podNamespace: pod.namespace, podName: pod.name, netns: files.net, portMappings };
  const { ips, interfaceName } = await ctx.network.attach(request, signal);
  return { ips, network: await joinTap(files.net, interfaceName, signal) };
}

/** What must be there before any app runs: a clone has its template's otherwise. */
async function configureGuest(
  ctx: Context,
  { config: { id, hostname, sysctls, demand }, shape }: SandboxRecord,
  network: GuestNetwork,
  signal: AbortSignal,
): Promise<void> {
  const wallClockNs = BigInt(Date.now()) * 1_000_000n; // the host's own: what it says later is read as the host's
  const body = {
    wallClockNs,
    entropy: randomBytes(ENTROPY_BYTES),
    hostname,
    network,
    sysctls,
    scratchDisk: shape.disks,
    ...(demand?.memory.limitBytes === undefined ? {} : { memoryBytes: demand.memory.limitBytes }),
  };
  try {
    await ctx.machines.get(id).guest.request({ type: "configure", body }, signal);
  } catch (error) {
    if (!isRefusal(error) || !error.message.startsWith("sysctl ")) throw error;
    throw new GantryError("runtime-failed", `the ${error.message.replace(/^(sysctl \S+?)=/, "$1 can't be set to ")}`, {
      hint: SYSCTL_HINT,
      cause: error,
    });
  }
}

/** The record of a sandbox that can take containers. @throws GantryError not-found, conflict */
export async function readySandbox(ctx: Context, id: string): Promise<SandboxRecord> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record);
  if (!record) throw new GantryError("not-found", `there is no sandbox ${id}`, { kind: "system" });
  if (!isReady(ctx, record, files)) {
    throw new GantryError("conflict", `sandbox ${id} is not running`, {
      kind: "system",
      hint: "It was stopped or damaged; remove it and make a new one.",
    });
  }
  return record;
}

export function isReady(ctx: Context, record: SandboxRecord, files: SandboxFiles): boolean {
  return record.phase === "ready" && isRunning(ctx, record) && netnsIntact(record, files);
}

/** Its QEMU is alive. */
export function isRunning(ctx: Context, record: SandboxRecord): boolean {
  return record.bootId === ctx.bootId && record.process !== undefined && isAlive(record.process);
}

function netnsIntact(record: SandboxRecord, files: SandboxFiles): boolean {
  return statSync(files.net, { throwIfNoEntry: false })?.ino === record.netInode;
}
