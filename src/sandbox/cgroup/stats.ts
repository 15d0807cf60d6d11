import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerStats } from "../driver.ts";
import { isAbsent } from "../namespace/files.ts";
import { processesIn } from "./cgroup.ts";
import type { CgroupHost } from "./host.ts";

/**
 * What a cgroup uses, a container's or a pod's. Memory is the working set as the kubelet counts it: usage without the file cache that
 * the kernel would drop first.
 */
export function readStats(host: CgroupHost, cgroup: string, now: number): ContainerStats {
  const file = (controller: string, name: string): string => {
    const root = host.controller(controller);
    return root === undefined ? "" : readOrEmpty(join(root, cgroup, name));
  };
  const field = (text: string, name: string): number =>
    Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  const cpuUsageNs = host.unified
    ? field(file("cpuacct", "cpu.stat"), "usage_usec") * 1000
    : Number(file("cpuacct", "cpuacct.usage"));
  const usage = Number(file("memory", host.unified ? "memory.current" : "memory.usage_in_bytes"));
  const inactive = field(file("memory", "memory.stat"), host.unified ? "inactive_file" : "total_inactive_file");
  return {
    timestamp: now,
    cpuUsageNs,
    memoryBytes: Math.max(0, usage - inactive),
    memoryUsageBytes: usage,
    processes: processesIn(host, cgroup).length,
  };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return "";
    throw error;
  }
}
