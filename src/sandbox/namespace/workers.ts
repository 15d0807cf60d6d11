import { readdirSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { argumentsOf, procStat, sendSignal } from "./proc.ts";

const SIGKILL = 9;

/** What launches and monitors containers, apart from the OCI runtimes, which are told by their --bundle. */
const HELPERS = new Set(["sh", "mount", "conmon", "unshare"]);

/**
 * Processes at work on a container or sandbox whose directory is `directory` or below it: conmon, an OCI runtime it
 * has not yet finished with, a mount under way. Found by their arguments, since after a crash there may be no pid file.
 */
export function workersOn(directory: string): { readonly pid: number; readonly path: string }[] {
  const found: { pid: number; path: string }[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const args = argumentsOf(Number(name));
    const ours = HELPERS.has(basename(args[0] ?? "")) || args.includes("--bundle");
    const path = ours ? args.slice(1).find((arg) => arg === directory || arg.startsWith(`${directory}/`)) : undefined;
    if (path !== undefined) found.push({ pid: Number(name), path });
  }
  return found;
}

/**
 * Kills what works on a directory, until nothing does. Only for what is being removed: its log and exit code end here.
 * With a worker goes its session: what it has just started has for a moment no arguments to be known by.
 */
export async function killWorkers(directory: string, timeoutMs = 5000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const sessions = new Set<number>();
  const ours = procStat(process.pid)?.session;
  for (let quiet = 0; quiet < 2 && performance.now() < deadline; ) {
    for (const { pid } of workersOn(directory)) {
      const session = procStat(pid)?.session;
      if (session !== undefined && session !== ours) sessions.add(session);
      sendSignal(pid, SIGKILL);
      quiet = -1;
    }
    if (sessions.size > 0) {
      for (const pid of membersOf(sessions)) {
        sendSignal(pid, SIGKILL);
        quiet = -1;
      }
    }
    quiet++;
    await sleep(2);
  }
}

function membersOf(sessions: ReadonlySet<number>): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const stat = procStat(pid);
      return stat !== undefined && stat.state !== "Z" && sessions.has(stat.session);
    });
}
