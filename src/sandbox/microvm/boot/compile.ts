import { createHash } from "node:crypto";
import { mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GantryError, isGantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";

export interface CompileOptions {
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
  /** Told in a few words what takes its time. */
  readonly say?: (what: string) => void;
}

export interface Compilation extends CompileOptions {
  /** For people, in errors: "the agent of micro-VMs". */
  readonly what: string;
  /** What the file is called, before its hash. */
  readonly name: string;
  /** Where the sources are. */
  readonly directory: string;
  /** Names of C files and headers; all of them are part of the hash. */
  readonly sources: readonly string[];
  readonly flags: readonly string[];
}

export interface Compiled {
  readonly path: string;
  /** Of sources and flags. */
  readonly hash: string;
}

/**
 * C compiled for this machine: what the npm package brought, else compiled here, once for each version of the source.
 * @throws GantryError command-missing (no C compiler), command-failed (it does not compile)
 */
export async function compileOnce(options: Compilation): Promise<Compiled> {
  const { what, directory, sources, flags, cacheDir, signal, say } = options;
  const { places, hash } = await placesOf(options);
  for (const place of places) if (await exists(place)) return { path: place, hash };
  const [path] = places;
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

/** Whether that has been done. */
export async function isCompiled(options: Compilation): Promise<boolean> {
  const { places } = await placesOf(options);
  return (await Promise.all(places.map(exists))).includes(true);
}

/** Where the npm package has what was compiled when it was made; a checkout has no such directory. */
const PACKAGED = fileURLToPath(new URL(`../programs/${process.arch}`, import.meta.url));

/** Where it is compiled to, and where it may be already. */
async function placesOf({ name, directory, sources, flags, cacheDir }: Compilation): Promise<{
  readonly places: readonly [string, string];
  readonly hash: string;
}> {
  const digest = createHash("sha256").update(flags.join(" "));
  for (const source of sources) digest.update(`\0${source}\0`).update(await readFile(join(directory, source)));
  const hash = digest.digest("hex").slice(0, 16);
  return { places: [join(cacheDir, `${name}-${hash}`), join(PACKAGED, `${name}-${hash}`)], hash };
}

/** @returns false when there is nothing by that name */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
