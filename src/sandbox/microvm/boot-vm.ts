import { chown, type FileHandle, open, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { PreparedVolume } from "../driver.ts";
import { makeDirectory } from "../namespace/files.ts";
import type { ProcessId } from "../namespace/proc.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import type { CgroupEntrance } from "./jail/cgroup.ts";
import { realProgram, viewOf } from "./jail/view.ts";
import type { VmPlan } from "./plan.ts";
import { canHotPlug, qemuArguments, type VmArguments } from "./qemu/args.ts";
import { addShare } from "./qemu/devices.ts";
import { killQemus, launchQemu, qemuProcess } from "./qemu/process.ts";
import type { SandboxRecord } from "./records.ts";
import { emptyScratch, openScratch } from "./scratch.ts";
import { startShare } from "./share.ts";
import { restoreState } from "./template/capture.ts";
import { PRIVATE_MEMORY } from "./template/stage.ts";
import type { Template, TemplateFacts } from "./template/templates.ts";
import { untilAgentAnswers } from "./up.ts";

/** What a VM's QEMU runs as, and in. */
export interface Jail {
  readonly uid: number;
  readonly cgroup: CgroupEntrance;
}

/** What is a VM's own. */
export interface Given {
  readonly plan: VmPlan;
  readonly jail: Jail;
  /** Paths of the host that it sees. */
  readonly volumes: readonly PreparedVolume[];
  /** Its network namespace is being made meanwhile. */
  readonly netns: Promise<unknown>;
}

export interface BootedVm {
  readonly process: ProcessId;
  readonly boot: NonNullable<SandboxRecord["boot"]>;
}

/** What goes wrong with a template as it would without. */
const NOT_THE_TEMPLATE = ["cancelled", "command-missing", "disk-full", "volume-failed"] as const;

/** A boot may hang where the host is very busy: once more then, and no more than that. */
const ATTEMPTS = 2;

/**
 * Starts a VM in its sandbox's network namespace and waits for its agent: as a clone of a template where there is one
 * or one can be made, else by booting it.
 * @throws GantryError runtime-failed with the guest's last words, timeout, cancelled
 */
export async function bootVm(ctx: Context, id: string, given: Given, signal: AbortSignal): Promise<BootedVm> {
  const { plan, volumes } = given;
  // The device of hostPath volumes is added to a clone, or is there from the beginning of a boot.
  const cloneable = volumes.length === 0 || canHotPlug(plan.machine);
  const template = cloneable ? await ctx.template(templateFacts(ctx, plan), signal) : undefined;
  if (template !== undefined) {
    try {
      return await launch(ctx, id, { ...given, template }, signal);
    } catch (error) {
      await clearVm(ctx, id);
      if (isGantryError(error, ...NOT_THE_TEMPLATE)) throw error;
      ctx.log.warn({ sandbox: id, reason: messageOf(error) }, "a template does not work; booting instead");
      await ctx.discardTemplate(template);
    }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(ctx, id, given, signal);
    } catch (error) {
      await clearVm(ctx, id);
      if (attempt === ATTEMPTS || !isGantryError(error, "timeout")) throw error;
      ctx.log.warn({ sandbox: id }, "a micro-VM did not boot in time; trying once more");
    }
  }
}

/** Ends what came of a start. */
export async function clearVm(ctx: Context, id: string): Promise<void> {
  await killQemus(sandboxFiles(ctx.dirs, id).root);
  ctx.machines.drop(id);
}

interface Start extends Given {
  /** Absent: a cold boot. */
  readonly template?: Template;
}

async function launch(ctx: Context, id: string, start: Start, signal: AbortSignal): Promise<BootedVm> {
  if (signal.aborted) throw new GantryError("cancelled", "the micro-VM was not started", { kind: "system" });
  const files = sandboxFiles(ctx.dirs, id);
  const { plan, jail, volumes, netns, template } = start;
  const shares = volumes.length > 0;
  const vm = {
    ...vmArguments(ctx, plan),
    shares,
    incoming: template !== undefined,
    ...(await memoryOf(ctx, id, start)),
  };
  const machine = ctx.machines.get(id);
  const { jailer } = plan.boot;
  const binary = realProgram(ctx.qemu());
  const { scratch: directory } = ctx.dirs;
  const disk = template?.scratch ?? (await emptyScratch(directory, ctx.scratchBytes, signal));
  const scratch = await openScratch(directory, id, disk, signal);
  let state: FileHandle | undefined;
  let share: Socket | undefined;
  let process: ProcessId;
  let started: number;
  try {
    if (template !== undefined) state = await open(template.state);
    if (shares) share = await startShare({ id, files, volumes, cgroup: jail.cgroup }, signal);
    await netns;
    started = performance.now();
    process = launchQemu(
      {
        ...{ jailer, binary, files, netns: files.net, ...jail },
        arguments: qemuArguments({ ...vm, directory: files.root }),
        view: viewOf(binary, vm, jailer),
        descriptors: [scratch.fd, ...(state === undefined ? [] : [state.fd]), ...(share === undefined ? [] : [share])],
      },
      () => ctx.machines.ended(id, machine),
    );
  } finally {
    await scratch.close();
    await state?.close();
    share?.destroy();
  }
  const limits = { process, files, timeoutMs: ctx.bootTimeoutMs };
  await untilAgentAnswers(
    limits,
    async (limit) => {
      if (template !== undefined) await restoreState(await machine.qmp(limit));
      await machine.guest.link(limit, template === undefined ? "booting" : "cloned");
      if (shares && canHotPlug(plan.machine)) await addShare(await machine.qmp(limit));
    },
    signal,
  ).finally(() => rm(privateMemory(ctx, id), { force: true })); // QEMU has it open
  const how = template === undefined ? "cold" : "clone";
  const ms = Math.round(performance.now() - started);
  const { accelerator, why, machine: type } = plan;
  return {
    process: qemuProcess(files) ?? process,
    boot: { how, accelerator, why, machine: type, ms, kernel: machine.guest.hello?.kernel ?? "" },
  };
}

/**
 * The file with the guest's memory. The server of hostPath volumes reads and writes it, so that a pod with any has one of
 * its own; others look at their template's and copy what they write to.
 */
async function memoryOf(
  ctx: Context,
  id: string,
  { plan, jail, template, volumes }: Start,
): Promise<Pick<VmArguments, "memoryFile">> {
  if (volumes.length === 0)
    return template === undefined ? {} : { memoryFile: { path: template.memory, share: false } };
  const path = privateMemory(ctx, id);
  await makeDirectory(ctx.dirs.templates, 0o700);
  const file = await open(path, "w", 0o600);
  await file.truncate(plan.shape.memoryMiB * 2 ** 20).finally(() => file.close());
  if (template !== undefined) await exec("cp", ["--sparse=always", "--", template.memory, path]);
  await chown(path, jail.uid, jail.uid);
  return { memoryFile: { path, share: true } };
}

const privateMemory = (ctx: Context, id: string): string => join(ctx.dirs.templates, `${PRIVATE_MEMORY}${id}`);

/** Arguments of every VM of a plan, whatever directory it is in. */
export function vmArguments(ctx: Pick<Context, "dirs">, plan: VmPlan): Omit<VmArguments, "directory" | "incoming"> {
  const { shape, accelerator, machine, boot } = plan;
  const files = { kernel: boot.kernel.image, initramfs: boot.initramfs, emptyDisk: ctx.dirs.emptyDisk };
  return { shape, accelerator, machine, ...files };
}

/** What a template for such a VM depends on. */
export function templateFacts(ctx: Context, plan: VmPlan): TemplateFacts {
  const nowhere = { kernel: "", initramfs: "", emptyDisk: "", directory: "", incoming: false };
  const args = qemuArguments({ ...vmArguments(ctx, plan), ...nowhere });
  return { plan, qemu: ctx.qemu(), arguments: [...args, `scratch=${ctx.scratchBytes}`] };
}
