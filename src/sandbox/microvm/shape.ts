import type { ContainerResources } from "../driver.ts";
import type { VmShape } from "./qemu/args.ts";

/** What a pod without limits gets. */
export const DEFAULT_MEMORY_MIB = 128;
/**
 * What a VM needs beside what its apps may use. Measured: 36 MiB that the kernel never gives out, 26 MiB for kernel and
 * agent after the boot, and 12 MiB that the agent keeps from the apps so that a full guest lives on.
 */
export const OVERHEAD_MIB = 80;
/** The kernel has 64 bytes to say about each page of 4096. */
const PAGE_OVERHEAD = 1 + 64 / 4096;
/** Memory is rounded up to this, so that pods with nearly the same limits share a template. */
const MEMORY_STEP_MIB = 64;
const DISKS = 8;
/** Eight containers, and one more port to change to while a log file is replaced. */
const LOG_PORTS = 9;

/** The virtual hardware for a pod with these limits. Pure. @param hostCpus a VM gets no more than that */
export function shapeFor(resources: ContainerResources, hostCpus: number): VmShape {
  const { memoryLimitBytes, cpuQuotaUs, cpuPeriodUs } = resources;
  const wanted =
    memoryLimitBytes === undefined ? DEFAULT_MEMORY_MIB : (memoryLimitBytes / 2 ** 20) * PAGE_OVERHEAD + OVERHEAD_MIB;
  const memoryMiB = Math.max(DEFAULT_MEMORY_MIB, Math.ceil(wanted / MEMORY_STEP_MIB) * MEMORY_STEP_MIB);
  const cpus = cpuQuotaUs === undefined ? 1 : Math.ceil(cpuQuotaUs / (cpuPeriodUs ?? 100_000));
  return { memoryMiB, vcpus: Math.max(1, Math.min(cpus, hostCpus)), disks: DISKS, logPorts: LOG_PORTS };
}
