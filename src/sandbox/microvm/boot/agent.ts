import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Compilation, type Compiled, type CompileOptions, compileOnce, isCompiled } from "./compile.ts";

/** Where the agent's C source is. */
export const AGENT_SOURCE = fileURLToPath(new URL("../guest", import.meta.url));

export const AGENT_FLAGS: readonly string[] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s"];

export type Agent = Compiled;

/**
 * The agent, compiled for this machine; once for each version of its source.
 * @throws GantryError command-missing (no C compiler), command-failed (it does not compile)
 */
export async function ensureAgent(options: CompileOptions): Promise<Agent> {
  return await compileOnce(await compilation(options));
}

export async function isAgentCompiled(options: CompileOptions): Promise<boolean> {
  return await isCompiled(await compilation(options));
}

async function compilation(options: CompileOptions): Promise<Compilation> {
  const sources = (await readdir(AGENT_SOURCE)).filter((name) => /\.[ch]$/.test(name)).sort();
  const what = "the agent of micro-VMs";
  return { ...options, what, name: "agent", directory: AGENT_SOURCE, sources, flags: AGENT_FLAGS };
}
