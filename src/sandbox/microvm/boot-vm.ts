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
import { kvmGroup, realProgram, viewOf } from "./jail/view.ts";
import { type Accelerator, qemuArguments, type VmArguments, type VmShape } from "./qemu/args.ts";
import { addShare } from "./qemu/devices.ts";
import { killQemus, launchQemu, qemuProcess } from "./qemu/process.ts";
import type { SandboxRecord } from "./records.ts";
import { startShare } from "./share.ts";
import { restoreState } from "./template/capture.ts";
import type { Template, TemplateFacts } from "./template/templates.ts";
import { untilAgentAnswers } from "./up.ts";

/** What a VM's QEMU runs as, and in. */
export interface Jail {
  readonly uid: number;
  readonly cgroup: CgroupEntrance;
}

/** What is a VM's own. */
export interface Given {
  readonly jail: Jail;
  /** Paths of the host that the VM sees. */
  readonly volumes: readonly PreparedVolume[];
  /** Empty, also after a boot that failed: it is not mounted before the guest is configured. */
  readonly scratch: FileHandle;
}

export interface BootedVm {
  readonly process: ProcessId;
  readonly boot: NonNullable<SandboxRecord["boot"]>;
}

/** A boot may hang where the host is very busy: once more then, and no more than that. */
const ATTEMPTS = 2;

/**
 * Starts a VM in its sandbox's network namespace and waits for its agent: as a clone of a template where there is one
 * or one can be made, else by booting it.
 * @throws GantryError runtime-failed with the guest's last words, timeout, cancelled
 */
export async function bootVm(
  ctx: Context,
  id: string,
  shape: VmShape,
  given: Given,
  signal: AbortSignal,
): Promise<BootedVm> {
  const facts = await templateFacts(ctx, shape, signal);
  const template = await ctx.template(facts, signal);
  if (template !== undefined) {
    try {
      return await launch(ctx, id, { ...given, facts, template }, signal);
    } catch (error) {
      await clear(ctx, id);
      if (isGantryError(error, "cancelled", "command-missing", "volume-failed")) throw error; // not the template's fault
      ctx.log.warn({ sandbox: id, reason: messageOf(error) }, "a template does not work; booting instead");
      await ctx.discardTemplate(template);
    }
  }
  for (let attempt = 1; ; attempt++) {
    try {
      return await launch(ctx, id, { ...given, facts }, signal);
    } catch (error) {
      await clear(ctx, id);
      if (attempt === ATTEMPTS || !isGantryError(error, "timeout")) throw error;
      ctx.log.warn({ sandbox: id }, "a micro-VM did not boot in time; trying once more");
    }
  }
}

async function clear(ctx: Context, id: string): Promise<void> {
  await killQemus(sandboxFiles(ctx.dirs, id).root);
  ctx.machines.drop(id);
}

interface Start extends Given {
  readonly facts: TemplateFacts & { readonly accelerator: Accelerator };
  /** Absent: a cold boot. */
  readonly template?: Template;
}

async function launch(ctx: Context, id: string, start: Start, signal: AbortSignal): Promise<BootedVm> {
  if (signal.aborted) throw new GantryError("cancelled", "the micro-VM was not started", { kind: "system" });
  const files = sandboxFiles(ctx.dirs, id);
  const { facts, jail, scratch, template, volumes } = start;
  const shares = volumes.length > 0;
  const memory = await memoryOf(ctx, id, start);
  const vm = {
    shares,
    incoming: template !== undefined,
    ...(await vmArguments(ctx, facts.shape, facts.accelerator, signal)),
    ...memory,
  };
  const machine = ctx.machines.get(id);
  const { jailer } = await ctx.bootFiles(signal);
  const binary = realProgram(facts.qemu);
  let state: FileHandle | undefined;
  let share: Socket | undefined;
  let process: ProcessId;
  const started = performance.now();
  try {
    if (template !== undefined) state = await open(template.state);
    if (shares) share = await startShare({ id, files, volumes, cgroup: jail.cgroup }, signal);
    process = launchQemu(
      {
        ...{ jailer, binary, files, netns: files.net, ...jail },
        arguments: qemuArguments({ ...vm, directory: files.root }),
        group: vm.accelerator === "kvm" ? kvmGroup() : 0,
        view: viewOf(binary, vm, jailer),
        descriptors: [scratch.fd, ...(state === undefined ? [] : [state.fd]), ...(share === undefined ? [] : [share])],
      },
      () => ctx.machines.ended(id, machine),
    );
  } finally {
    await state?.close();
    share?.destroy();
  }
  const limits = { process, files, timeoutMs: ctx.bootTimeoutMs };
  await untilAgentAnswers(
    limits,
    async (limit) => {
      if (template !== undefined) await restoreState(await machine.qmp(limit));
      await machine.guest.link(limit, template === undefined ? "booting" : "cloned");
      if (shares) await addShare(await machine.qmp(limit));
    },
    signal,
  ).finally(() => rm(privateMemory(ctx, id), { force: true })); // QEMU has it open
  const how = template === undefined ? "cold" : "clone";
  const ms = Math.round(performance.now() - started);
  return {
    process: qemuProcess(files) ?? process,
    boot: { how, accelerator: facts.accelerator, ms, kernel: machine.guest.hello?.kernel ?? "" },
  };
}

/**
 * The file with the guest's memory. The server of hostPath volumes reads and writes it, so that a pod with any has one of
 * its own; others look at their template's and copy what they write to.
 */
async function memoryOf(
  ctx: Context,
  id: string,
  { facts, jail, template, volumes }: Start,
): Promise<Pick<VmArguments, "memoryFile">> {
  if (volumes.length === 0)
    return template === undefined ? {} : { memoryFile: { path: template.memory, share: false } };
  const path = privateMemory(ctx, id);
  await makeDirectory(ctx.dirs.templates, 0o700);
  const file = await open(path, "w", 0o600);
  await file.truncate(facts.shape.memoryMiB * 2 ** 20).finally(() => file.close());
  if (template !== undefined) await exec("cp", ["--sparse=always", "--", template.memory, path]);
  await chown(path, jail.uid, jail.uid);
  return { memoryFile: { path, share: true } };
}

const privateMemory = (ctx: Context, id: string): string => join(ctx.dirs.templates, `${PRIVATE_MEMORY}${id}`);

/** What those files are called for as long as they have a name. */
export const PRIVATE_MEMORY = ".memory-";

/** Arguments of every VM of a shape, whatever directory it is in. */
export async function vmArguments(
  ctx: Pick<Context, "bootFiles" | "dirs">,
  shape: VmShape,
  accelerator: Accelerator,
  signal: AbortSignal,
): Promise<Omit<VmArguments, "directory" | "incoming">> {
  const { kernel, initramfs } = await ctx.bootFiles(signal);
  return { shape, accelerator, kernel: kernel.image, initramfs, emptyDisk: ctx.dirs.emptyDisk };
}

async function templateFacts(
  ctx: Context,
  shape: VmShape,
  signal: AbortSignal,
): Promise<TemplateFacts & { readonly accelerator: Accelerator }> {
  const [{ hash }, accelerator] = await Promise.all([ctx.bootFiles(signal), ctx.accelerator(signal)]);
  const vm = { shape, accelerator, kernel: "", initramfs: "", emptyDisk: "", directory: "", incoming: false };
  return {
    shape,
    bootHash: hash,
    accelerator,
    qemu: ctx.qemu(),
    arguments: [...qemuArguments(vm), `scratch=${ctx.scratchBytes}`],
  };
}
