import { readdirSync, readFileSync } from "node:fs";
import type { PodView } from "./pods.ts";

type ContainerView = PodView["status"]["containerStatuses"][number];

/** The status of one container, whatever its kind. @throws Error when the pod has none of that name */
export function containerOf(pod: PodView, name: string): ContainerView {
  const all = [...pod.status.initContainerStatuses, ...pod.status.containerStatuses];
  const found = all.find((container) => container.name === name);
  if (found === undefined) throw new Error(`pod ${pod.metadata.name} has no container ${name}`);
  return found;
}

/** Processes in a container's cgroup. */
export function pidsOf({ containerID = "" }: ContainerView): number[] {
  const id = containerID.replace(/^\w+:\/\//, "");
  if (id === "") return [];
  return allPids().filter((pid) => readOrEmpty(`/proc/${pid}/cgroup`).includes(`/${id}\n`));
}

/** Processes in a cgroup of this name, in any hierarchy, and in those below it. */
export function pidsInCgroup(name: string): number[] {
  return allPids().filter((pid) => readOrEmpty(`/proc/${pid}/cgroup`).includes(`/${name}/`));
}

/** The container's first process, as the host numbers it. @throws Error when it does not run */
export function pidOf(pod: PodView, name: string): number {
  const pids = pidsOf(containerOf(pod, name));
  // With a shared pid namespace it is not number 1, but its parent is always outside.
  const parent = (pid: number): number => Number(/^PPid:\s(\d+)$/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1]);
  const [pid] = pids.filter((one) => isRunning(one) && !pids.includes(parent(one))).sort((a, b) => a - b);
  if (pid === undefined) throw new Error(`container ${name} of ${pod.metadata.name} has no process`);
  return pid;
}

/**
 * One run of a container, to be told from the next and to be looked for: its first process, or in a micro-VM, whose
 * processes nobody outside sees, its QEMU and its id.
 */
export interface Run {
  readonly id: string;
  /** What a signal reaches from outside: the process, or the whole VM. */
  readonly pid: number;
}

/** @throws Error when it does not run */
export function runOf(pod: PodView, name: string): Run {
  if (!isMicrovm(pod)) {
    const pid = pidOf(pod, name);
    return { id: `process ${pid}`, pid };
  }
  const container = containerOf(pod, name);
  const id = container.containerID?.replace(/^\w+:\/\//, "") ?? "";
  if (container.state.running === undefined || id === "") throw new Error(`container ${name} does not run`);
  const pid = qemuOf(pod);
  return { id: `${id} in QEMU ${pid}`, pid };
}

function isMicrovm({ spec }: PodView): boolean {
  return spec["runtimeClassName"] === "microvm";
}

/** The QEMU of a pod in a micro-VM. @throws Error when there is none */
export function qemuOf({ metadata }: PodView): number {
  const sandbox = `/vms/${metadata.uid.replaceAll("-", "").slice(0, 12)}-`;
  const isQemu = (pid: number): boolean => /^qemu-system/.test(readOrEmpty(`/proc/${pid}/comm`));
  const [qemu] = pidsWith(sandbox).filter((pid) => isQemu(pid) && isRunning(pid));
  if (qemu === undefined) throw new Error(`pod ${metadata.name} has no QEMU`);
  return qemu;
}

/** Pids of processes whose command line contains `mark`. */
export function pidsWith(mark: string): number[] {
  return allPids().filter((pid) => readOrEmpty(`/proc/${pid}/cmdline`).replaceAll("\0", " ").includes(mark));
}

export function isRunning(pid: number): boolean {
  return /^State:\s[^ZX]/m.test(readOrEmpty(`/proc/${pid}/status`));
}

function allPids(): number[] {
  return readdirSync("/proc")
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number);
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // it ended just now
  }
}
