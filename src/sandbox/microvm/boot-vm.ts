import { type FileHandle, open } from "node:fs/promises";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import type { ProcessId } from "../namespace/proc.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import type { CgroupEntrance } from "./jail/cgroup.ts";
import { kvmGroup, realProgram, viewOf } from "./jail/view.ts";
import { type Accelerator, qemuArguments, type VmArguments, type VmShape } from "./qemu/args.ts";
import { killQemus, launchQemu, qemuProcess } from "./qemu/process.ts";
import type { SandboxRecord } from "./records.ts";
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
      if (isGantryError(error, "cancelled")) throw error;
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

async function launch(
  ctx: Context,
  id: string,
  { facts, jail, scratch, template }: Start,
  signal: AbortSignal,
): Promise<BootedVm> {
  if (signal.aborted) throw new GantryError("cancelled", "the micro-VM was not started", { kind: "system" });
  const files = sandboxFiles(ctx.dirs, id);
  const memory = template === undefined ? {} : { memoryFile: { path: template.memory, share: false } };
  const vm = { ...(await vmArguments(ctx, facts.shape, facts.accelerator, signal)), ...memory };
  const machine = ctx.machines.get(id);
  const { jailer } = await ctx.bootFiles(signal);
  const binary = realProgram(facts.qemu);
  let state: FileHandle | undefined;
  let process: ProcessId;
  const started = performance.now();
  try {
    if (template !== undefined) state = await open(template.state);
    process = launchQemu(
      {
        ...{ jailer, binary, files, netns: files.net, ...jail },
        arguments: qemuArguments({ ...vm, directory: files.root, incoming: template !== undefined }),
        group: vm.accelerator === "kvm" ? kvmGroup() : 0,
        view: viewOf(binary, vm, jailer),
        descriptors: [scratch.fd, ...(state === undefined ? [] : [state.fd])],
      },
      () => ctx.machines.ended(id, machine),
    );
  } finally {
    await state?.close();
  }
  const limits = { process, files, timeoutMs: ctx.bootTimeoutMs };
  await untilAgentAnswers(
    limits,
    async (limit) => {
      if (template !== undefined) await restoreState(await machine.qmp(limit));
      await machine.guest.link(limit, template === undefined ? "booting" : "cloned");
    },
    signal,
  );
  const how = template === undefined ? "cold" : "clone";
  const ms = Math.round(performance.now() - started);
  return {
    process: qemuProcess(files) ?? process,
    boot: { how, accelerator: facts.accelerator, ms, kernel: machine.guest.hello?.kernel ?? "" },
  };
}

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
