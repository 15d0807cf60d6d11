import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, isGantryError } from "../system/errors.ts";
import { exec } from "../system/exec.ts";

export interface TmpfsOptions {
  /** Octal mode of the root directory. */
  readonly mode: string;
  readonly sizeBytes?: number | undefined;
  /** Keep it out of the swap space, where the kernel can (6.4 and later). */
  readonly noSwap?: boolean;
}

/** A filesystem of its own has another device number than the directory above it. */
export async function isTmpfsMounted(dir: string): Promise<boolean> {
  const [here, above] = await Promise.all([stat(dir), stat(dirname(dir))]);
  return here.dev !== above.dev;
}

/**
 * Mounts a tmpfs on `dir`, which must exist, unless one is there already (kept with its content).
 * @throws GantryError volume-failed
 */
export async function ensureTmpfs(dir: string, options: TmpfsOptions, signal: AbortSignal): Promise<void> {
  if (await isTmpfsMounted(dir)) return;
  const flags = [
    "nodev",
    "nosuid",
    `mode=${options.mode}`,
    ...(options.sizeBytes === undefined ? [] : [`size=${options.sizeBytes}`]),
  ];
  const mount = (extra: readonly string[]): Promise<unknown> =>
    exec("mount", ["-t", "tmpfs", "-o", [...flags, ...extra].join(","), "--", "tmpfs", dir], { signal });
  try {
    if (options.noSwap !== true) await mount([]);
    else {
      await mount(["noswap"]).catch(async (error: unknown) => {
        if (!isGantryError(error, "command-failed")) throw error;
        await mount([]);
      });
    }
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    throw new GantryError("volume-failed", `cannot mount a tmpfs on ${dir}: ${error.message}`, {
      kind: "system",
      cause: error,
      hint: "Mounting needs root; run 'gantry doctor' to see what is missing.",
    });
  }
}
