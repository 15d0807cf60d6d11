import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { type Compiled, compileOnce } from "./compile.ts";

/** Where the agent's C source is. */
export const AGENT_SOURCE = fileURLToPath(new URL("../guest", import.meta.url));

export const AGENT_FLAGS: readonly string[] = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O2", "-static", "-s"];

export type Agent = Compiled;

/**
 * The agent, compiled for this machine; once for each version of its source.
 * @throws GantryError command-missing (no C compiler), command-failed (it does not compile)
 */
export async function ensureAgent(options: {
  readonly cacheDir: string;
  readonly signal?: AbortSignal;
  /** Told in a few words what takes its time. */
  readonly say?: (what: string) => void;
}): Promise<Agent> {
  const sources = (await readdir(AGENT_SOURCE)).filter((name) => /\.[ch]$/.test(name)).sort();
  const what = "the agent of micro-VMs";
  return await compileOnce({ ...options, what, name: "agent", directory: AGENT_SOURCE, sources, flags: AGENT_FLAGS });
}
