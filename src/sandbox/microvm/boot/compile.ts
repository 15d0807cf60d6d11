import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";

export interface Compilation {
  /** For people, in errors: "the agent of micro-VMs". */
  readonly what: string;
  /** What the file is called, before its hash. */
  readonly name: string;
  /** Where the sources are. */
  readonly directory: string;
  /** Names of C files and headers; all of them are part of the hash. */
  readonly sources: readonly string[];
  readonly flags: readonly string[];
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
  /** Told in a few words what takes its time. */
  readonly say?: (what: string) => void;
}

export interface Compiled {
  readonly path: string;
  /** Of sources and flags. */
  readonly hash: string;
}

/**
 * C compiled for this machine: what the npm package has beside the source, else compiled here, once for each version
 * of the source.
 * @throws GantryError command-missing (no C compiler), command-failed (it does not compile)
 */
export async function compileOnce(options: Compilation): Promise<Compiled> {
  const { what, name, directory, sources, flags, cacheDir, signal, say } = options;
  const digest = createHash("sha256").update(flags.join(" "));
  for (const source of sources) digest.update(`\0${source}\0`).update(await readFile(join(directory, source)));
  const hash = digest.digest("hex").slice(0, 16);
  const path = join(cacheDir, `${name}-${hash}`);
  if (await exists(path)) return { path, hash };
  const packaged = join(directory, `${name}-${process.arch}-${hash}`);
  if (await exists(packaged)) return { path: packaged, hash };
  await mkdir(cacheDir, { recursive: true });
  say?.(`compiling ${what}`);
  const temporary = `${path}.${process.pid}`;
  try {
    const files = sources.filter((source) => source.endsWith(".c")).map((source) => join(directory, source));
    await exec("gcc", [...flags, "-o", temporary, ...files], {
      ...(signal ? { signal } : {}),
      installHint: `Install gcc and libc6-dev: they compile ${what}, once.`,
    });
    await rename(temporary, path);
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    throw new GantryError("command-failed", `${what} does not compile: ${error.message}`, {
      kind: "system",
      hint: "Install libc6-dev (the static C library and headers), or tell Gantry's authors.",
      cause: error,
      details: error.details,
    });
  } finally {
    await rm(temporary, { force: true });
  }
  return { path, hash };
}

/** @returns false when there is nothing by that name */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
