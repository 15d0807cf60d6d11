/** What /proc tells about the node as a whole. Pure. */

/** Ticks of /proc/stat in a second: USER_HZ, the same on every architecture that Gantry runs on. */
const TICKS = 100;

/** ns of CPU time that all CPUs together have worked since the boot: all columns but idle and iowait (proc_stat(5)). */
export function cpuNsOf(procStat: string): number {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] =
    /^cpu +(.+)$/m.exec(procStat)?.[1]?.split(" ").map(Number) ?? [];
  return ((user + nice + system + irq + softirq + steal) * 1e9) / TICKS;
}

export interface HostMemory {
  readonly totalBytes: number;
  /**
   * What could be had at once: what is free, and the file cache that was not used lately. The kubelet's
   * memory.available (capacity less working set) on a host where the root cgroup tells no usage.
   */
  readonly availableBytes: number;
  /** What holds nothing at all. */
  readonly freeBytes: number;
}

export function memoryOf(meminfo: string): HostMemory {
  const field = (name: string): number =>
    1024 * Number(new RegExp(`^${name.replace(/[()]/g, "\\$&")}: +(\\d+) kB$`, "m").exec(meminfo)?.[1] ?? 0);
  const [totalBytes, free] = [field("MemTotal"), field("MemFree")];
  return { totalBytes, availableBytes: Math.min(totalBytes, free + field("Inactive(file)")), freeBytes: free };
}

/** Whether an interface is the host's own: those of pods, bridges and virtual machines carry what others count. */
export function ownInterface(name: string): boolean {
  return !/^(lo|veth|gantry|gnt|cni|docker|podman|br-|tap)/.test(name);
}
