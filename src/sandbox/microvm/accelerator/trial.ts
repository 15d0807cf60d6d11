import { mkdtemp } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory, removeTree } from "../../namespace/files.ts";
import { vmArguments } from "../boot-vm.ts";
import type { Context } from "../context.ts";
import { shapeFor } from "../shape.ts";
import { buildTemplate } from "../template/build.ts";
import { UNFINISHED } from "../template/templates.ts";

/** A guest boots in a fraction of a second where KVM works; slower than emulation, it is of no use. */
const DEADLINE_MS = 5000;

/** Boots the real guest under KVM and throws it away. @returns ms. @throws GantryError timeout, runtime-failed */
export async function kvmTrial(ctx: Context): Promise<number> {
  await makeDirectory(ctx.dirs.templates, 0o700);
  const directory = await mkdtemp(join(ctx.dirs.templates, UNFINISHED));
  try {
    const vm = await vmArguments(ctx, shapeFor({}, 1), "kvm", new AbortController().signal);
    const template = { key: "trial", memory: join(directory, "memory"), state: join(directory, "state") };
    const { jailer } = await ctx.bootFiles(new AbortController().signal);
    const started = performance.now();
    const { scratchBytes } = ctx;
    await buildTemplate({ qemu: ctx.qemu(), jailer, vm, directory, template, scratchBytes, timeoutMs: DEADLINE_MS });
    return Math.round(performance.now() - started);
  } finally {
    await removeTree(directory);
  }
}
