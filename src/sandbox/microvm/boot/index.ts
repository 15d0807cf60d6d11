import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { GantryError, messageOf } from "../../../system/errors.ts";
import { ensureAgent, isAgentCompiled } from "./agent.ts";
import { customKernel } from "./custom-kernel.ts";
import { buildInitramfs } from "./initramfs.ts";
import { ensureJailer, isJailerCompiled, type Jailer } from "./jailer.ts";
import { ensureKernel, type Kernel, type KernelOptions } from "./kernel.ts";

/** What a micro-VM boots from. */
export { ensureAgent } from "./agent.ts";
export { customKernel } from "./custom-kernel.ts";
export { buildInitramfs, type Initramfs } from "./initramfs.ts";
export { ensureJailer, type Jailer } from "./jailer.ts";
export { cachedKernel, ensureKernel, type Kernel, type KernelOptions } from "./kernel.ts";

export interface BootFiles {
  readonly kernel: Kernel;
  /** Path of the initramfs. */
  readonly initramfs: string;
  readonly jailer: Jailer;
  /** Changes whenever kernel, agent or modules do: part of a template's key. */
  readonly hash: string;
}

/** Files of the user's, in place of those that are fetched and built. */
export interface OwnFiles {
  readonly kernel?: string;
  readonly initramfs?: string;
}

/**
 * Kernel, agent and initramfs, made where they are missing. Cheap when they are there.
 * @throws GantryError host-unsupported, command-missing, command-failed; unsupported when a file of the user's will not do
 */
export async function ensureBootFiles(options: KernelOptions, own: OwnFiles = {}): Promise<BootFiles> {
  const findKernel = async (): Promise<Kernel> =>
    own.kernel === undefined ? await ensureKernel(options) : await customKernel(own.kernel);
  if (own.initramfs !== undefined) {
    const [kernel, jailer, stamp] = await Promise.all([findKernel(), ensureJailer(options), stampOf(own.initramfs)]);
    return { kernel, initramfs: own.initramfs, jailer, hash: hashOf(kernel.id, stamp) };
  }
  const [kernel, agent, jailer] = await Promise.all([findKernel(), ensureAgent(options), ensureJailer(options)]);
  const { say } = options;
  const initramfs = await buildInitramfs({ kernel, agent, cacheDir: options.cacheDir, ...(say ? { say } : {}) });
  return { kernel, initramfs: initramfs.path, jailer, hash: hashOf(kernel.id, initramfs.hash) };
}

/** Whether agent and jailer have been compiled. */
export async function areProgramsCompiled(cacheDir: string): Promise<boolean> {
  return (await isAgentCompiled({ cacheDir })) && (await isJailerCompiled({ cacheDir }));
}

function hashOf(...parts: readonly string[]): string {
  return createHash("sha256").update(parts.join(" ")).digest("hex").slice(0, 16);
}

/** Another file, or the same one written anew, has another. */
async function stampOf(path: string): Promise<string> {
  try {
    const { ino, size, mtimeMs } = await stat(path);
    return JSON.stringify([path, ino, size, mtimeMs]);
  } catch (cause) {
    throw new GantryError("unsupported", `the initramfs ${path} cannot be read: ${messageOf(cause)}`, {
      hint: "Correct microvm.initramfs in the configuration or the pod's annotation gantry.dev/vm-initramfs, or leave it out.",
      cause,
    });
  }
}
