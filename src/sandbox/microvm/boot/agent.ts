import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { GantryError, isGantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";

/** Where the agent's C source is. */
export const AGENT_SOURCE = fileURLToPath(new URL("../guest", import.meta.url));

export const AGENT_FLAGS: readonly string[] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s"];

export interface Agent {
  readonly path: string;
  /** Of source and flags. */
  readonly hash: string;
}

/**
 * The agent, compiled for this machine; once for each version of its source.
 * @throws GantryError command-missing (no C compiler), command-failed (it does not compile)
 */
export async function ensureAgent(options: {
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
}): Promise<Agent> {
  const sources = (await readdir(AGENT_SOURCE)).filter((name) => /\.[ch]$/.test(name)).sort();
  const digest = createHash("sha256").update(AGENT_FLAGS.join(" "));
  for (const name of sources) digest.update(`\0${name}\0`).update(await readFile(join(AGENT_SOURCE, name)));
  const hash = digest.digest("hex").slice(0, 16);
  const path = join(options.cacheDir, `agent-${hash}`);
  if (await exists(path)) return { path, hash };
  await mkdir(options.cacheDir, { recursive: true });
  const temporary = `${path}.${process.pid}`;
  try {
    const files = sources.filter((name) => name.endsWith(".c")).map((name) => join(AGENT_SOURCE, name));
    await exec("gcc", [...AGENT_FLAGS, "-o", temporary, ...files], {
      ...(options.signal ? { signal: options.signal } : {}),
      installHint: "Install gcc and libc6-dev: they compile the agent of micro-VMs, once.",
    });
    await rename(temporary, path);
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    throw new GantryError("command-failed", `the agent of micro-VMs does not compile: ${error.message}`, {
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
