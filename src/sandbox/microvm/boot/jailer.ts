import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { VIEW } from "../qemu/args.ts";
import { type Compilation, type CompileOptions, compileOnce, exists, isCompiled } from "./compile.ts";

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
export async function ensureJailer(options: CompileOptions): Promise<Jailer> {
  const { program, library } = compilations(options);
  const [jailer, readOnly] = await Promise.all([compileOnce(program), compileOnce(library)]);
  // Not beside the library: that may be in a package that nobody writes to.
  await mkdir(options.cacheDir, { recursive: true });
  const preload = join(options.cacheDir, `readonly-memory-${readOnly.hash}.preload`);
  if (!(await exists(preload))) await writeFile(preload, `${VIEW.readOnlyMemory}\n`);
  return { path: jailer.path, readOnlyMemory: readOnly.path, preload };
}

export async function isJailerCompiled(options: CompileOptions): Promise<boolean> {
  const { program, library } = compilations(options);
  return (await isCompiled(program)) && (await isCompiled(library));
}

function compilations(options: CompileOptions): { readonly program: Compilation; readonly library: Compilation } {
  const common = { ...options, what: "the jailer of micro-VMs", directory: JAILER_SOURCE };
  const sources = ["jailer.h", "jailer.c", "view.c", "attend.c"];
  return {
    program: { ...common, name: "jailer", sources, flags: [...FLAGS, "-static"] },
    library: {
      ...common,
      what: "a library for micro-VMs",
      name: "readonly-memory",
      sources: ["readonly-memory.c"],
      flags: [...FLAGS, "-fPIC", "-shared"],
    },
  };
}
