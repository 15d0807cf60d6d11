import { accessSync, constants, readdirSync, readFileSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { z } from "zod";
import { isGantryError, messageOf } from "../../../system/errors.ts";
import type { Paths } from "../../../system/paths.ts";
import { readIfThere, writeAtomically } from "../../namespace/files.ts";
import { type Decision, judgeTrial, type VirtualizationFacts, whyNoKvm } from "./decide.ts";

export interface DetectOptions {
  /** Keeps the decision until the next boot of the host. */
  readonly cacheFile: string;
  readonly bootId: string;
  /** Boots the real guest under KVM. @returns its time in ms. Rejects when it does not come up in time */
  readonly trial: () => Promise<number>;
  /** Default: this host's. */
  readonly facts?: VirtualizationFacts;
}

/** Where the decision is kept. */
export function acceleratorFile(paths: Pick<Paths, "lib">): string {
  return join(paths.lib, "accelerator.json");
}

const cached = z.object({ bootId: z.string(), accelerator: z.enum(["kvm", "tcg"]), why: z.string() });

/** Which accelerator works here, and why. A trial, where one is needed, is made once per boot of the host. */
export async function detectAccelerator(options: DetectOptions): Promise<Decision> {
  const known = await knownAccelerator(options);
  if (known !== undefined) return known;
  const decision = await options.trial().then(
    (ms) => judgeTrial({ ms }),
    (error: unknown) => {
      // A host without QEMU or a kernel, or a trial that was called off, has shown nothing about KVM.
      if (!isGantryError(error, "timeout", "runtime-failed")) throw error;
      return judgeTrial({ failed: messageOf(error) });
    },
  );
  await mkdir(dirname(options.cacheFile), { recursive: true });
  await writeAtomically(options.cacheFile, JSON.stringify({ bootId: options.bootId, ...decision }), 0o600);
  return decision;
}

/** The same as far as it is known without a trial; undefined: one is needed. */
export async function knownAccelerator(
  options: Pick<DetectOptions, "cacheFile" | "bootId" | "facts">,
): Promise<Decision | undefined> {
  const impossible = whyNoKvm(options.facts ?? readFacts());
  if (impossible !== undefined) return { accelerator: "tcg", why: `software emulation: ${impossible}` };
  return await readCache(options);
}

async function readCache({
  cacheFile,
  bootId,
}: Pick<DetectOptions, "cacheFile" | "bootId">): Promise<Decision | undefined> {
  try {
    const { bootId: of, ...decision } = cached.parse(JSON.parse((await readIfThere(cacheFile)) ?? "null"));
    return of === bootId ? decision : undefined;
  } catch {
    return undefined; // none, or damaged: the trial is made again
  }
}

/** What this host says of itself. */
export function readFacts(): VirtualizationFacts {
  const flags = /^flags\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  return {
    cpuFlags: new Set(flags.split(" ")),
    modules: new Set(readdirSync("/sys/module")),
    device: canOpen("/dev/kvm"),
  };
}

function canOpen(path: string): boolean {
  try {
    accessSync(path, constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
