import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, isGantryError } from "../system/errors.ts";
import { mountTmpfs, type TmpfsOptions } from "../system/tmpfs.ts";

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
  try {
    await mountTmpfs(dir, options, signal);
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    throw new GantryError("volume-failed", `cannot mount a tmpfs on ${dir}: ${error.message}`, {
      kind: "system",
      cause: error,
      hint: "Mounting needs root; run 'gantry doctor' to see what is missing.",
    });
  }
}
