import type { SandboxConfig } from "../driver.ts";
import type { VmShape } from "./qemu/args.ts";

/**
 * What a VM needs beside what its apps may use. Measured: 36 MiB that the kernel never gives out, 26 MiB for kernel and
 * agent after the boot, and 12 MiB that the agent keeps from the apps so that a full guest lives on.
 */
export const OVERHEAD_MIB = 80;
/** The kernel has 64 bytes to say about each page of 4096. */
const PAGE_OVERHEAD = 1 + 64 / 4096;
/** No pod's limit makes a VM smaller than this. */
export const LEAST_MEMORY_MIB = 128;
/** Memory is rounded up to this, so that pods with nearly the same limits share a template. */
const MEMORY_STEP_MIB = 64;
const DISKS = 8;
/** Eight containers, and one more port to change to while a log file is replaced. */
const LOG_PORTS = 9;

/** What a VM has where its pod says nothing. */
export interface ShapeDefaults {
  readonly memoryMiB: number;
  readonly vcpus: number;
}

/**
 * The virtual hardware of a pod's VM. Pure.
 *
 * What the pod's annotations say, as it is. Else what its containers may use together (limits, else requests) and the
 * overhead; containers that say neither get the default on top of that.
 * @param hostCpus a pod's limits never make it more than that
 */
export function shapeFor(
  asked: Pick<SandboxConfig, "resources" | "demand" | "vm">,
  hostCpus: number,
  defaults: ShapeDefaults,
): VmShape {
  const { memory, cpu } = asked.demand ?? demandOf(asked.resources);
  const wanted = (memory.bytes / 2 ** 20) * PAGE_OVERHEAD + (memory.open ? defaults.memoryMiB : OVERHEAD_MIB);
  const bare = memory.open && memory.bytes === 0;
  const memoryMiB = bare ? defaults.memoryMiB : Math.max(LEAST_MEMORY_MIB, roundUp(wanted, MEMORY_STEP_MIB));
  const cpus = Math.max(Math.ceil(cpu.milli / 1000), cpu.open ? defaults.vcpus : 1);
  return {
    memoryMiB: asked.vm?.memoryMiB ?? memoryMiB,
    vcpus: asked.vm?.vcpus ?? Math.min(cpus, hostCpus),
    disks: DISKS,
    logPorts: LOG_PORTS,
  };
}

/** Where nothing is known of the containers: what the pod as a whole is limited to. */
function demandOf({ memoryLimitBytes, cpuQuotaUs, cpuPeriodUs }: SandboxConfig["resources"]) {
  const milli = cpuQuotaUs === undefined ? 0 : (1000 * cpuQuotaUs) / (cpuPeriodUs ?? 100_000);
  return {
    memory: { bytes: memoryLimitBytes ?? 0, open: memoryLimitBytes === undefined },
    cpu: { milli, open: cpuQuotaUs === undefined },
  };
}

function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step;
}
