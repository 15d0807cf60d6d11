import { GantryError } from "../../system/errors.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { insertImage } from "./qemu/devices.ts";
import type { SandboxRecord } from "./records.ts";
import { imageSlots } from "./slots.ts";

/** Puts the images of image volumes behind the last disks of a VM that has just come up. @throws GantryError image-missing */
export async function insertImageVolumes(ctx: Context, sandbox: SandboxRecord, signal: AbortSignal): Promise<void> {
  const { id } = sandbox.config;
  const slots = imageSlots(sandbox);
  if (slots.size === 0) return;
  if (slots.size >= sandbox.shape.disks) {
    throw new GantryError("unsupported", `a micro-VM takes ${sandbox.shape.disks - 1} image volumes at most`, {
      hint: "Use fewer of them, or runtimeClassName: namespace.",
    });
  }
  const controls = { qmp: await ctx.machines.get(id).qmp(signal), jailer: sandboxFiles(ctx.dirs, id).jailer };
  for (const [digest, slot] of slots) await insertImage(controls, slot, await ctx.images.rootFile(digest, signal));
}
