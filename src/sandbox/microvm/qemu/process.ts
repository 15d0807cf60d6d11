import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../../../system/errors.ts";
import { argumentsOf, identify, isAlive, type ProcessId, sendSignal } from "../../namespace/proc.ts";
import type { SandboxFiles } from "../dirs.ts";
import { TAP } from "../network/tap.ts";
import { VM_FILES } from "./args.ts";

const SIGKILL = 9;
const KILL_TIMEOUT_MS = 10_000;

export interface Launch {
  readonly binary: string;
  readonly arguments: readonly string[];
  readonly files: Pick<SandboxFiles, "root" | "log">;
  /** Path of the network namespace that it is to be in; "new": one that goes with it, with nothing but a tap. */
  readonly netns: string;
  /** A file that it gets as descriptor 3, e.g. a template's state. */
  readonly input?: string;
}

/**
 * Starts QEMU: on its own (it outlives us), with an empty environment, and no descriptor of ours but what it is given.
 * @param onExit called when it ends while we live
 */
export function launchQemu(launch: Launch, onExit: () => void): ProcessId {
  const log = openSync(launch.files.log, "a", 0o600);
  const input = launch.input === undefined ? undefined : openSync(launch.input, "r");
  try {
    const [file = "", ...args] = [...wrapper(launch.netns), launch.binary, ...launch.arguments];
    const child = spawn(file, args, {
      cwd: launch.files.root,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      detached: true,
      stdio: ["ignore", log, log, ...(input === undefined ? [] : [input])],
    });
    child.on("error", onExit);
    child.on("exit", onExit);
    child.unref();
    const process = child.pid === undefined ? undefined : identify(child.pid);
    if (process !== undefined) return process;
    throw new GantryError("runtime-failed", `cannot start ${launch.binary}`, {
      kind: "system",
      hint: "Install it: apt-get install qemu-system-x86",
    });
  } finally {
    closeSync(log);
    if (input !== undefined) closeSync(input);
  }
}

function wrapper(netns: string): string[] {
  if (netns !== "new") return ["nsenter", `--net=${netns}`, "--"];
  return ["unshare", "--net", "--", "sh", "-ec", `ip tuntap add dev ${TAP} mode tap; exec "$@"`, "sh"];
}

/** QEMUs, and what is about to become one, by the directories that they belong to below `base`. */
export function qemusBelow(base: string): { readonly pid: number; readonly directory: string }[] {
  const found: { pid: number; directory: string }[] = [];
  const suffix = `/${VM_FILES.pid}`;
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const path = argumentsOf(Number(name)).find((arg) => arg.startsWith(`${base}/`) && arg.endsWith(suffix));
    if (path !== undefined) found.push({ pid: Number(name), directory: path.slice(0, -suffix.length) });
  }
  return found;
}

/** Kills every QEMU that belongs to `directory`, until there is none. @throws GantryError timeout */
export async function killQemus(directory: string): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  const dying = new Map<number, ProcessId>();
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    for (const { pid } of qemusBelow(directory)) {
      const process = identify(pid);
      if (process === undefined) continue;
      // A process that is about to go has no arguments any more, but is not gone.
      dying.set(pid, process);
      sendSignal(pid, SIGKILL);
    }
    const [alive] = [...dying.values()].filter(isAlive);
    if (alive === undefined) return;
    if (performance.now() > deadline) {
      throw new GantryError("timeout", `QEMU (process ${alive.pid}) does not die`, { kind: "system" });
    }
    await sleep(waitMs);
  }
}

/** The last lines that QEMU or the guest's kernel left in a file, for an error message. */
export async function lastWords(path: string): Promise<string> {
  const text = await readFile(path, "utf8").catch(() => "");
  return text.trim().split("\n").slice(-3).join(" · ").slice(-500);
}
