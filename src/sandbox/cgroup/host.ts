import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type Mount, mountTable } from "../namespace/mounts.ts";

/** The cgroup hierarchies of this host. */
export interface CgroupHost {
  /** v2 only; otherwise v1 hierarchies, possibly with a v2 one beside them (hybrid). */
  readonly unified: boolean;
  readonly swapLimit: boolean;
  /** Mount point of every hierarchy, the named ones of v1 and the v2 one too. Each once. */
  readonly roots: readonly string[];
  /** Where a controller (memory, cpu, cpuacct, pids, freezer) is to be found; undefined: the host has none. */
  readonly controller: (name: string) => string | undefined;
}

const V1_CONTROLLERS = [
  "cpu",
  "cpuacct",
  "cpuset",
  "memory",
  "devices",
  "freezer",
  "blkio",
  "pids",
  "hugetlb",
  "net_cls",
];

/** Looks at what is mounted. Tells hosts apart by the type of /sys/fs/cgroup, as the runtimes do. */
export function detectCgroups(mounts: readonly Mount[] = mountTable()): CgroupHost {
  const below = mounts.filter((m) => m.mountPoint === "/sys/fs/cgroup" || m.mountPoint.startsWith("/sys/fs/cgroup/"));
  const unified = below.some((m) => m.mountPoint === "/sys/fs/cgroup" && m.fsType === "cgroup2");
  if (unified) {
    const available = readFileSync("/sys/fs/cgroup/cgroup.controllers", "utf8").trim().split(" ");
    return {
      unified,
      swapLimit: existsSync("/proc/swaps") && available.includes("memory"),
      roots: ["/sys/fs/cgroup"],
      // v2 has the time used and the freezer without any controller
      controller: (name) =>
        name === "freezer" || name === "cpuacct" || available.includes(name) ? "/sys/fs/cgroup" : undefined,
    };
  }
  const v1 = below.filter((m) => m.fsType === "cgroup");
  const where = new Map<string, string>();
  for (const name of V1_CONTROLLERS) {
    const mount = v1.find((m) => m.options.includes(name));
    if (mount) where.set(name, mount.mountPoint);
  }
  const memory = where.get("memory");
  return {
    unified,
    swapLimit: memory !== undefined && existsSync(join(memory, "memory.memsw.limit_in_bytes")),
    roots: [...new Set(below.filter((m) => m.fsType.startsWith("cgroup")).map((m) => m.mountPoint))],
    controller: (name) => where.get(name),
  };
}
