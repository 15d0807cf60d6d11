import { join } from "node:path";
import { vmArguments } from "../boot-vm.ts";
import type { Context } from "../context.ts";
import type { VmPlan } from "../plan.ts";
import { emptyScratch } from "../scratch.ts";
import { buildTemplate } from "../template/build.ts";
import { openStage } from "../template/stage.ts";

/** A guest boots in a fraction of a second where KVM works; slower than emulation, it is of no use. */
const DEADLINE_MS = 5000;

/** Boots the real guest under KVM and throws it away. @returns ms. @throws GantryError timeout, runtime-failed */
export async function kvmTrial(ctx: Context, plan: VmPlan, signal: AbortSignal): Promise<number> {
  await using stage = await openStage(ctx.dirs.templates);
  const directory = stage.path;
  const at = (name: string): string => join(directory, name);
  const template = { key: "trial", memory: at("memory"), state: at("state"), scratch: at("scratch") };
  const options = {
    jailer: plan.boot.jailer,
    qemu: ctx.qemu(),
    vm: vmArguments(ctx, plan),
    directory,
    template,
    emptyScratch: await emptyScratch(ctx.dirs.scratch, ctx.scratchBytes, signal),
    timeoutMs: DEADLINE_MS,
    signal,
  };
  const started = performance.now();
  await buildTemplate(options);
  return Math.round(performance.now() - started);
}
