import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VIEW } from "../qemu/args.ts";
import { compileOnce, exists } from "./compile.ts";

/** Where the jailer's C source is. */
export const JAILER_SOURCE = fileURLToPath(new URL("../jail", import.meta.url));

const FLAGS: readonly string[] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-s"];

/** What every QEMU is started by. */
export interface Jailer {
  /** The program itself, static. */
  readonly path: string;
  /** What a clone loads so that it is content with reading its template's memory. */
  readonly readOnlyMemory: string;
  /** The list of what is to be loaded, for ld.so(8). */
  readonly preload: string;
}

/** @throws GantryError command-missing (no C compiler), command-failed (it does not compile) */
export async function ensureJailer(options: {
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
  readonly say?: (what: string) => void;
}): Promise<Jailer> {
  const common = { ...options, what: "the jailer of micro-VMs", directory: JAILER_SOURCE };
  const sources = ["jailer.h", "jailer.c", "view.c", "attend.c"];
  const [jailer, library] = await Promise.all([
    compileOnce({ ...common, name: "jailer", sources, flags: [...FLAGS, "-static"] }),
    compileOnce({
      ...common,
      name: "readonly-memory",
      sources: ["readonly-memory.c"],
      flags: [...FLAGS, "-fPIC", "-shared"],
    }),
  ]);
  // Not beside the library: that may be in a package that nobody writes to.
  await mkdir(options.cacheDir, { recursive: true });
  const preload = join(options.cacheDir, `readonly-memory-${library.hash}.preload`);
  if (!(await exists(preload))) await writeFile(preload, `${VIEW.readOnlyMemory}\n`);
  return { path: jailer.path, readOnlyMemory: library.path, preload };
}
