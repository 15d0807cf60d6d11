/** What a driver measures of its sandboxes and containers. */
export interface ContainerStats {
  readonly timestamp: number;
  /** ns of CPU time used since the start. */
  readonly cpuUsageNs: number;
  readonly memoryBytes: number;
  /** With the file cache; absent where only the working set is known, as from the agent of an earlier version. */
  readonly memoryUsageBytes?: number;
  /** What is no copy of a file. */
  readonly memoryRssBytes?: number;
  /** Copies of files. */
  readonly memoryCacheBytes?: number;
  readonly processes: number;
  /** Absent where nothing limits its CPU time, or that is not told. */
  readonly throttling?: CpuThrottling;
  /** Absent where the host does not count it; of a virtual machine only the host knows, so only `podStats` has it. */
  readonly disk?: DiskTraffic;
}

/** How the kernel keeps to a CPU limit: once in every period a container may use its share. */
export interface CpuThrottling {
  readonly periods: number;
  /** Those in which it had to wait … */
  readonly throttledPeriods: number;
  /** … and how long, over all. ns */
  readonly throttledNs: number;
}

/** Since the start, as it reached the disks. */
export interface DiskTraffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** One direction of an interface, since it was made. */
export interface Traffic {
  readonly bytes: number;
  readonly packets: number;
  readonly errors: number;
  readonly dropped: number;
}

export interface InterfaceStats {
  /** "eth0" */
  readonly name: string;
  /** As the pod sees it: what came to it … */
  readonly received: Traffic;
  /** … and what it sent. */
  readonly sent: Traffic;
}

/** Bytes or inodes. */
export interface SandboxDiskUsage {
  /** In emptyDirs that are not below their path on the host, by the name of the volume. */
  readonly volumes: ReadonlyMap<string, number>;
  /** In the writable layers of containers, by their ids. */
  readonly containers: ReadonlyMap<string, number>;
}
