import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf, GantryError } from "../../system/errors.ts";
import type { ContainerResources } from "../driver.ts";
import { isAbsent } from "../namespace/files.ts";
import { holdsFiles, identify, type ProcessId, sendSignal } from "../namespace/proc.ts";
import type { CgroupHost } from "./host.ts";

const SIGKILL = 9;

/** Limits of the pod as a whole, written to its cgroup. The containers' own are the OCI runtime's business. */
export function limitPod(host: CgroupHost, path: string, resources: ContainerResources): void {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = resources;
  if (host.unified) prepareUnified(path);
  const period = String(cpuPeriodUs ?? 100_000);
  const set = (controller: string, file: string, value: string | undefined): void => {
    const root = host.controller(controller);
    if (value === undefined || root === undefined) return;
    const directory = join(root, path);
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, file), value);
  };
  const text = (value: number | undefined): string | undefined => (value === undefined ? undefined : String(value));
  if (host.unified) {
    set("memory", "memory.max", text(memoryLimitBytes));
    set("cpu", "cpu.max", cpuQuotaUs === undefined ? undefined : `${cpuQuotaUs} ${period}`);
    set("cpu", "cpu.weight", cpuShares === undefined ? undefined : String(weightOfShares(cpuShares)));
  } else {
    set("memory", "memory.limit_in_bytes", text(memoryLimitBytes));
    set("cpu", "cpu.cfs_period_us", cpuQuotaUs === undefined ? undefined : period);
    set("cpu", "cpu.cfs_quota_us", text(cpuQuotaUs));
    set("cpu", "cpu.shares", text(cpuShares));
  }
  set("pids", "pids.max", text(pidsLimit));
}

/** From v1's 2…262144 to v2's 1…10000, as the OCI runtimes convert it (crun's documentation has the formula). */
export function weightOfShares(shares: number): number {
  return Math.min(10_000, Math.max(1, Math.floor(1 + ((shares - 2) * 9999) / 262_142)));
}

/** v2 passes a controller down only where every level above says so. */
function prepareUnified(path: string): void {
  const root = "/sys/fs/cgroup";
  let directory = root;
  for (const part of path.split("/").filter(Boolean)) {
    for (const controller of ["cpu", "memory", "pids"]) {
      try {
        writeFileSync(join(directory, "cgroup.subtree_control"), `+${controller}`);
      } catch {
        // Not available here: the limit that needs it fails below, with a clear message.
      }
    }
    directory = join(directory, part);
    mkdirSync(directory, { recursive: true });
  }
}

/** Pids in a cgroup and in those below it, in whichever hierarchy knows them. */
export function processesIn(host: CgroupHost, path: string): number[] {
  const pids = new Set<number>();
  for (const root of host.roots) {
    for (const directory of treeBelow(join(root, path))) {
      for (const line of readOr(join(directory, "cgroup.procs"), "").split("\n"))
        if (line !== "") pids.add(Number(line));
    }
  }
  pids.delete(0); // a process of another pid namespace
  return [...pids];
}

/**
 * Kills everything in a cgroup and below, frozen or not, until nothing is left. The kernel stops listing a process as
 * soon as it begins to die, while it may still hold a port: so each that was killed is also waited for.
 * @throws GantryError timeout
 */
export async function killCgroup(host: CgroupHost, path: string, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  const dying = new Set<ProcessId>();
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    const listed = processesIn(host, path);
    if (listed.length > 0) thaw(host, path);
    for (const pid of listed) {
      const process = identify(pid);
      if (process !== undefined) dying.add(process);
      sendSignal(pid, SIGKILL);
    }
    for (const process of dying) if (!holdsFiles(process)) dying.delete(process);
    const pids = [...new Set([...listed, ...[...dying].map(({ pid }) => pid)])];
    if (pids.length === 0) return;
    if (performance.now() > deadline) {
      throw new GantryError("timeout", `processes ${pids.slice(0, 5).join(", ")} in ${path} do not die`, {
        kind: "system",
        hint: "They hang in the kernel, often on a network file system; see 'ps -o pid,stat,wchan,cmd'.",
      });
    }
    await sleep(waitMs);
  }
}

/** Wakes a frozen cgroup: the signal of a kill reaches its processes only then. */
export function thaw(host: CgroupHost, path: string): void {
  const root = host.controller("freezer");
  if (root === undefined) return;
  const [file, thawed] = host.unified ? ["cgroup.freeze", "0"] : ["freezer.state", "THAWED"];
  for (const directory of treeBelow(join(root, path))) {
    try {
      writeFileSync(join(directory, file ?? ""), thawed ?? "");
    } catch (error) {
      if (!isAbsent(error) && errnoOf(error) !== "ENODEV") throw error;
    }
  }
}

/** Removes a cgroup with those below it in every hierarchy. One that still has processes stays, and is named. */
export async function removeCgroup(host: CgroupHost, path: string, timeoutMs = 2000): Promise<string[]> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const busy: string[] = [];
    for (const root of host.roots) {
      for (const directory of treeBelow(join(root, path)).reverse()) {
        try {
          rmdirSync(directory);
        } catch (error) {
          if (!isAbsent(error)) busy.push(directory);
        }
      }
    }
    if (busy.length === 0 || performance.now() > deadline) return busy;
    await sleep(5); // a process that has just died leaves its cgroup a moment later
  }
}

/** Removes a cgroup that has neither processes nor cgroups in it; any other stays. */
export function removeEmptyCgroup(host: CgroupHost, path: string): void {
  for (const root of host.roots) {
    try {
      rmdirSync(join(root, path));
    } catch (error) {
      if (!isAbsent(error) && errnoOf(error) !== "EBUSY" && errnoOf(error) !== "ENOTEMPTY") throw error;
    }
  }
}

/** True when something in the cgroup was killed for want of memory. */
export function hadOom(host: CgroupHost, path: string): boolean {
  const root = host.controller("memory");
  if (root === undefined) return false;
  const text = readOr(join(root, path, host.unified ? "memory.events" : "memory.oom_control"), "");
  return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0) > 0;
}

/** Names of the cgroups right below `path`, in any hierarchy. */
export function cgroupsIn(host: CgroupHost, path: string): string[] {
  const names = new Set<string>();
  for (const root of host.roots) for (const name of subdirectories(join(root, path))) names.add(name);
  return [...names];
}

/** `directory` and all below it, parents first; none when it does not exist. */
function treeBelow(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return [directory, ...subdirectories(directory).flatMap((name) => treeBelow(join(directory, name)))];
}

function subdirectories(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

function readOr(path: string, otherwise: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isAbsent(error) || errnoOf(error) === "ENODEV" || errnoOf(error) === "EOPNOTSUPP") return otherwise;
    throw error;
  }
}
