/** Images that lie in a folder as files are brought in when the daemon starts: for hosts without a registry. */
import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import type { ImageStore } from "../image/index.ts";
import { errnoOf, isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface PreloadOptions {
  /** The folder; need not be there. */
  readonly folder: string;
  /** Remembers which files were imported, so that a restart has nothing to do. */
  readonly memory: string;
  readonly images: Pick<ImageStore, "importAll" | "list">;
  /** A file was imported. */
  readonly onImported: (file: string, names: readonly string[]) => void;
  readonly onFailed: (file: string, message: string) => void;
  readonly log: Logger;
}

/** By file name: which file it was, and what was in it. */
const memorySchema = z.record(z.string(), z.strictObject({ stamp: z.string(), names: z.array(z.string()) }));
type Memory = z.infer<typeof memorySchema>;

/** Imports every file of the folder that is new, has changed, or of which an image is missing. Never throws. */
export async function preloadImages(options: PreloadOptions, signal: AbortSignal): Promise<void> {
  const { folder, images, onImported, onFailed, log } = options;
  const memory = await recall(options.memory);
  for (const file of await filesIn(folder, log)) {
    if (signal.aborted) return;
    const path = join(folder, file);
    try {
      const stamp = await stampOf(path);
      const held = new Set((await images.list()).flatMap(({ names }) => names));
      const known = memory[file];
      if (known?.stamp === stamp && known.names.every((name) => held.has(name))) continue;
      const brought = await images.importAll(path, signal);
      const names = brought.flatMap((image) => image.names);
      memory[file] = { stamp, names: namesToWatch(names, held) };
      await writeFile(options.memory, JSON.stringify(memory));
      onImported(path, names);
    } catch (error) {
      if (signal.aborted) return;
      const hint = isGantryError(error) && error.hint !== undefined ? `: ${error.hint}` : "";
      onFailed(path, `${messageOf(error)}${hint}`);
    }
  }
}

/** An image may have had other names before, which are no business of the file's. */
function namesToWatch(names: readonly string[], before: ReadonlySet<string>): string[] {
  const own = names.filter((name) => !before.has(name));
  return own.length > 0 ? own : [...names];
}

async function recall(file: string): Promise<Memory> {
  try {
    return memorySchema.parse(JSON.parse(await readFile(file, "utf8")));
  } catch {
    return {}; // the first time, or damaged: everything is imported again, which changes nothing
  }
}

async function filesIn(folder: string, log: Logger): Promise<string[]> {
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    // A file that is still being copied there has a dot or .partial, as most tools do it.
    return entries
      .filter((entry) => !entry.isDirectory() && !entry.name.startsWith(".") && !entry.name.endsWith(".partial"))
      .map(({ name }) => name)
      .sort();
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") log.warn({ folder, error: messageOf(error) }, "cannot read the preload folder");
    return [];
  }
}

async function stampOf(path: string): Promise<string> {
  const { ino, mtimeNs, size } = await stat(path, { bigint: true });
  return `${ino} ${mtimeNs} ${size}`;
}
