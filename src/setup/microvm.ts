import { loadConfig } from "../config/index.ts";
import { ensureBootFiles } from "../sandbox/microvm/boot/index.ts";
import { driverDirs } from "../sandbox/microvm/dirs.ts";
import { isGantryError } from "../system/errors.ts";
import { layout } from "../system/paths.ts";

/**
 * Gets what micro-VMs boot from into the root: kernel, agent, initramfs; only what is missing. Where that fails, it says
 * why, and the daemon tries again when a pod needs it: all other pods run without.
 */
export async function readyMicrovm(root: string, say: (...lines: readonly string[]) => void): Promise<void> {
  if (process.arch !== "x64") return;
  const paths = layout(root);
  try {
    const { kernel, initramfs } = (await loadConfig({ paths })).microvm;
    const own = { ...(kernel === undefined ? {} : { kernel }), ...(initramfs === undefined ? {} : { initramfs }) };
    await ensureBootFiles({ cacheDir: driverDirs(paths).boot, say: (what) => say(`${what} ...`) }, own);
  } catch (error) {
    if (!isGantryError(error)) throw error;
    if (error.code === "invalid-config") return; // the daemon is about to say so
    say(`micro-VM pods have to wait: ${error.message}`, ...(error.hint === undefined ? [] : [error.hint]));
  }
}
