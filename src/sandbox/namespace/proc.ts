import { readdirSync, readFileSync } from "node:fs";
import { errnoOf } from "../../system/errors.ts";

/** Changes with every boot of the kernel. */
export function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
}

/** A process that is told apart from a later one with the same pid by when it was started. */
export interface ProcessId {
  readonly pid: number;
  /** Clock ticks since boot: field 22 of /proc/PID/stat. */
  readonly startTicks: number;
}

interface ProcStat {
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  readonly startTicks: number;
  /** As wait(2) gives it; of a zombie. */
  readonly exitStatus: number;
}

/** See proc_pid_stat(5). Undefined for a process that is gone. */
export function procStat(pid: number): ProcStat | undefined {
  const text = readProc(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The second field is the command in brackets and may itself hold brackets and blanks.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ", 50);
  return {
    state: fields[0] ?? "",
    parent: Number(fields[1]),
    session: Number(fields[3]),
    startTicks: Number(fields[19]),
    exitStatus: Number(fields[49]),
  };
}

/** Undefined for a process that is gone or a zombie. */
export function identify(pid: number): ProcessId | undefined {
  const stat = procStat(pid);
  return stat === undefined || stat.state === "Z" || stat.state === "X"
    ? undefined
    : { pid, startTicks: stat.startTicks };
}

export function isAlive(process: ProcessId): boolean {
  return identify(process.pid)?.startTicks === process.startTicks;
}

/** Like isAlive, but true also while the last threads of a process are dying, whose leader is a zombie already. */
export function holdsFiles(process: ProcessId): boolean {
  const stat = procStat(process.pid);
  if (stat === undefined || stat.startTicks !== process.startTicks) return false;
  return (stat.state !== "Z" && stat.state !== "X") || threadsOf(process.pid) > 1;
}

function threadsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0; // gone just now
  }
}

/** The signal that ended a process which its parent has not taken note of yet; undefined when that cannot be told. */
export function endSignal(process: ProcessId): number | undefined {
  const stat = procStat(process.pid);
  if (stat?.startTicks !== process.startTicks || stat.state !== "Z") return undefined;
  const signal = stat.exitStatus & 0x7f;
  return signal === 0 ? undefined : signal;
}

/** When it was started, ms since the epoch. The kernel counts in ticks of 10 ms. */
export function startedAtMs(process: ProcessId): number {
  const boot = /^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "0";
  return Number(boot) * 1000 + process.startTicks * 10;
}

/** Arguments of a process; none for one that is gone, and for kernel threads. */
export function argumentsOf(pid: number): string[] {
  return readProc(`/proc/${pid}/cmdline`)?.split("\0").slice(0, -1) ?? [];
}

/** Sends a signal; false when the process is gone. */
export function sendSignal(pid: number, signal: number): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ESRCH") return false;
    throw error;
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT" || errno === "ESRCH") return undefined;
    throw error;
  }
}
