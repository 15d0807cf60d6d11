import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ContainerStats, CpuThrottling, DiskTraffic } from "../driver.ts";
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
  const memory = file("memory", "memory.stat");
  const inactive = field(memory, host.unified ? "inactive_file" : "total_inactive_file");
  const throttling = throttlingOf(file("cpu", "cpu.stat"));
  const disk = host.unified
    ? diskOfV2(file("io", "io.stat"))
    : diskOfV1(file("blkio", "blkio.throttle.io_service_bytes"), file("blkio", "blkio.throttle.io_serviced"));
  return {
    timestamp: now,
    cpuUsageNs,
    memoryBytes: Math.max(0, usage - inactive),
    memoryUsageBytes: usage,
    memoryRssBytes: field(memory, host.unified ? "anon" : "total_rss"),
    memoryCacheBytes: field(memory, host.unified ? "file" : "total_cache"),
    processes: processesIn(host, cgroup).length,
    ...(throttling !== undefined && { throttling }),
    ...(disk !== undefined && { disk }),
  };
}

/** Of cpu.stat, v1 and v2; undefined where no limit counts periods. Pure. */
export function throttlingOf(text: string): CpuThrottling | undefined {
  const field = (name: string): number | undefined => {
    const value = new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1];
    return value === undefined ? undefined : Number(value);
  };
  const periods = field("nr_periods");
  if (periods === undefined || periods === 0) return undefined;
  const throttledNs = field("throttled_time") ?? (field("throttled_usec") ?? 0) * 1000;
  return { periods, throttledPeriods: field("nr_throttled") ?? 0, throttledNs };
}

/** Of io.stat: "8:0 rbytes=1 wbytes=2 rios=3 wios=4 …", a line for each disk. Pure. */
export function diskOfV2(text: string): DiskTraffic | undefined {
  if (text === "") return undefined;
  const sum = (key: string): number =>
    [...text.matchAll(new RegExp(`\\b${key}=(\\d+)`, "g"))].reduce((all, [, value]) => all + Number(value), 0);
  return { readBytes: sum("rbytes"), writtenBytes: sum("wbytes"), reads: sum("rios"), writes: sum("wios") };
}

/** Of blkio.throttle.io_service_bytes and blkio.throttle.io_serviced: "8:0 Read 1", a line for each disk and kind. Pure. */
export function diskOfV1(bytes: string, times: string): DiskTraffic | undefined {
  if (bytes === "") return undefined;
  const sum = (text: string, kind: string): number =>
    [...text.matchAll(new RegExp(`^\\d+:\\d+ ${kind} (\\d+)$`, "gm"))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    );
  return {
    readBytes: sum(bytes, "Read"),
    writtenBytes: sum(bytes, "Write"),
    reads: sum(times, "Read"),
    writes: sum(times, "Write"),
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
