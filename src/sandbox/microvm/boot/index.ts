import { createHash } from "node:crypto";
import { type Agent, ensureAgent } from "./agent.ts";
import { buildInitramfs } from "./initramfs.ts";
import { ensureJailer, type Jailer } from "./jailer.ts";
import { ensureKernel, type Kernel, type KernelOptions } from "./kernel.ts";

/** What a micro-VM boots from. */
export { type Agent, ensureAgent } from "./agent.ts";
export { buildInitramfs, type Initramfs } from "./initramfs.ts";
export type { Jailer } from "./jailer.ts";
export { ensureKernel, type Kernel, type KernelOptions } from "./kernel.ts";

export interface BootFiles {
  readonly kernel: Kernel;
  readonly agent: Agent;
  /** Path of the initramfs. */
  readonly initramfs: string;
  readonly jailer: Jailer;
  /** Changes whenever kernel, agent or modules do: part of a template's key. */
  readonly hash: string;
}

/** Kernel, agent and initramfs, made where they are missing. Cheap when they are there. */
export async function ensureBootFiles(options: KernelOptions): Promise<BootFiles> {
  const [kernel, agent, jailer] = await Promise.all([
    ensureKernel(options),
    ensureAgent(options),
    ensureJailer(options),
  ]);
  const initramfs = await buildInitramfs({ kernel, agent, cacheDir: options.cacheDir });
  const hash = createHash("sha256").update(`${kernel.id} ${initramfs.hash}`).digest("hex").slice(0, 16);
  return { kernel, agent, initramfs: initramfs.path, jailer, hash };
}
