import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { limitPod } from "../../cgroup/cgroup.ts";
import type { CgroupHost } from "../../cgroup/host.ts";
import { foreignRoots } from "../../cgroup/own.ts";
import type { ContainerResources } from "../../driver.ts";
import type { VmShape } from "../qemu/args.ts";

/**
 * What QEMU may use beside the guest's memory, so that a guest that uses all of its own is not the end of its QEMU:
 * 32 MiB of translated code and the tables of that, some 30 MiB of QEMU itself, buffers of disks and sockets, page
 * tables, and the page cache of what it reads and writes, which the kernel takes back before anything else.
 */
export const QEMU_MEMORY_MIB = 128;
/** QEMU, the jailer, a thread per virtual CPU, and up to 64 that read disks. */
const TASKS = 128;

/** How the jailer gets into a cgroup: `tasks` files of v1, and the directory of v2. */
export interface CgroupEntrance {
  readonly tasks: readonly string[];
  readonly directory?: string;
}

/**
 * Makes the cgroup of a VM with its limits, except that of CPU time: a VM that may use a tenth of a CPU would come up
 * ten times as slowly. See limitVmCpu.
 */
export function makeVmCgroup(
  host: CgroupHost,
  path: string,
  shape: VmShape,
  resources: ContainerResources,
): CgroupEntrance {
  const { cpuShares } = resources;
  limitPod(host, path, {
    memoryLimitBytes: (shape.memoryMiB + QEMU_MEMORY_MIB) * 2 ** 20,
    pidsLimit: TASKS,
    ...(cpuShares === undefined ? {} : { cpuShares }),
  });
  const ours = ["memory", "cpu", "cpuacct", "pids", "freezer"].map((name) => host.controller(name));
  const roots = new Set([...ours.filter((root) => root !== undefined), ...foreignRoots(host)]);
  roots.delete(host.controller("cpuset") ?? ""); // stays the daemon's: a new one has no CPU at all
  const tasks: string[] = [];
  let directory: string | undefined;
  for (const root of roots) {
    const at = join(root, path);
    mkdirSync(at, { recursive: true });
    if (host.unified || root.endsWith("/unified")) directory = at;
    else tasks.push(join(at, "tasks"));
  }
  return { tasks, ...(directory === undefined ? {} : { directory }) };
}

/** From now on the whole VM has no more CPU time than its pod may have. */
export function limitVmCpu(host: CgroupHost, path: string, { cpuQuotaUs, cpuPeriodUs }: ContainerResources): void {
  if (cpuQuotaUs === undefined) return;
  limitPod(host, path, { cpuQuotaUs, ...(cpuPeriodUs === undefined ? {} : { cpuPeriodUs }) });
}
