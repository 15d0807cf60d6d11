import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { basename, dirname } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../../../system/errors.ts";
import { argumentsOf, identify, isAlive, type ProcessId, sendSignal } from "../../namespace/proc.ts";
import type { Jailer } from "../boot/index.ts";
import { type SandboxFiles, STANDBY } from "../dirs.ts";
import type { CgroupEntrance } from "../jail/cgroup.ts";
import type { ViewEntry } from "../jail/view.ts";
import { TAP } from "../network/tap.ts";
import { sharedDirectoryIn } from "../share.ts";
import { directoryIn } from "./args.ts";

const SIGKILL = 9;
const KILL_TIMEOUT_MS = 10_000;

export interface Launch {
  readonly jailer: Jailer;
  /** QEMU's program, without links: its view has it at the same path. */
  readonly binary: string;
  readonly arguments: readonly string[];
  readonly files: Pick<SandboxFiles, "root" | "log">;
  /** Path of the network namespace that it is to be in; absent: one that goes with it, with nothing but a tap. */
  readonly netns?: string;
  /** User and group that it runs as. */
  readonly uid: number;
  readonly view: readonly ViewEntry[];
  /** Absent: it stays in ours. */
  readonly cgroup?: CgroupEntrance;
  /** What it gets as descriptors 3, 4 …; still the caller's to close. */
  readonly descriptors: readonly (number | Socket)[];
}

/**
 * Starts QEMU through the jailer (see jail/jailer.c), on its own: it outlives us.
 * @param onExit called when it ends while we live
 * @returns the jailer, which lives as long as its QEMU does
 */
export function launchQemu(launch: Launch, onExit: () => void): ProcessId {
  const log = openSync(launch.files.log, "a", 0o600);
  try {
    const child = spawn(launch.jailer.path, jailerArguments(launch), {
      cwd: launch.files.root,
      env: {},
      detached: true,
      stdio: ["ignore", log, log, ...launch.descriptors],
    });
    child.on("error", onExit);
    child.on("exit", onExit);
    child.unref();
    const process = child.pid === undefined ? undefined : identify(child.pid);
    if (process !== undefined) return process;
    throw new GantryError("runtime-failed", `cannot start ${launch.jailer.path}`, { kind: "system" });
  } finally {
    closeSync(log);
  }
}

/** Pure. */
export function jailerArguments(launch: Omit<Launch, "jailer" | "files">): string[] {
  const { netns, uid, view, cgroup, descriptors, binary } = launch;
  return [
    ...(netns === undefined ? [] : ["--netns", netns]),
    ...["--tap", TAP, "--uid", String(uid), "--pass", String(descriptors.length)],
    ...(cgroup?.tasks ?? []).flatMap((path) => ["--tasks", path]),
    ...(cgroup?.directory === undefined ? [] : ["--cgroup", cgroup.directory]),
    ...view.flatMap(({ kind, source, target }) => [`--${kind}`, source, target]),
    ...["--", binary, ...launch.arguments],
  ];
}

/** QEMU itself, once the jailer has started it. */
export function qemuProcess(files: Pick<SandboxFiles, "pid">): ProcessId | undefined {
  try {
    return identify(Number(readFileSync(files.pid, "utf8")));
  } catch {
    return undefined; // not yet
  }
}

/** QEMUs, their jailers, and the servers of their hostPath volumes, by the directories that they belong to: `base` or one below it. */
export function qemusBelow(base: string): { readonly pid: number; readonly directory: string }[] {
  const found: { pid: number; directory: string }[] = [];
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    for (const argument of argumentsOf(Number(name))) {
      const named = directoryIn(argument);
      const directory = named === undefined ? sharedDirectoryIn(argument) : whereNow(Number(name), named);
      if (directory !== base && directory?.startsWith(`${base}/`) !== true) continue;
      found.push({ pid: Number(name), directory });
    }
  }
  return found;
}

/**
 * A VM that waited for a pod has got another directory since its QEMU was told the name. Its jailer works in it, whatever
 * it is called; QEMU, the jailer's child, sees nothing of the host.
 */
function whereNow(pid: number, named: string): string {
  if (!basename(named).startsWith(STANDBY)) return named;
  for (const process of [pid, parentOf(pid)]) {
    const directory = process === undefined ? undefined : workingDirectory(process);
    if (directory !== undefined && dirname(directory) === dirname(named)) return directory;
  }
  return named;
}

function workingDirectory(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/cwd`);
  } catch {
    return undefined; // it is gone
  }
}

function parentOf(pid: number): number | undefined {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return undefined;
  }
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
