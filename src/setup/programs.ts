import { rm } from "node:fs/promises";
import { join } from "node:path";
import { ensureAgent, ensureJailer } from "../sandbox/microvm/boot/index.ts";
import { isGantryError } from "../system/errors.ts";

/**
 * Compiles what micro-VMs need into a directory of the npm package, for this kind of machine. Their sources are in the
 * package as well: where they were not compiled, or for another machine, that is done when they are first needed.
 */
const [directory = "dist/sandbox/microvm/programs"] = process.argv.slice(2);
const cacheDir = join(directory, process.arch);
try {
  await ensureAgent({ cacheDir });
  const { preload } = await ensureJailer({ cacheDir });
  await rm(preload); // is written where it is used
} catch (error) {
  if (!isGantryError(error, "command-missing", "command-failed")) throw error;
  console.log(`gantry build: the package goes without compiled programs for micro-VMs: ${error.message}`);
  if (error.hint !== undefined) console.log(`gantry build: ${error.hint}`);
}
