import { readdirSync } from "node:fs";
import type { Family } from "./exposition.ts";

/** The daemon itself, with the names that every client library of Prometheus has. @param read of files of /proc */
export function processFamilies(read: (path: string) => string): Family[] {
  const { user, system } = process.cpuUsage();
  const { heapUsed, heapTotal } = process.memoryUsage();
  const status = read("/proc/self/status");
  const limit = /^Max open files +(\d+)/m.exec(read("/proc/self/limits"))?.[1];
  const bytes = (field: string): number =>
    1024 * Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? 0);
  const one = (name: string, type: Family["type"], help: string, value: number): Family => ({
    ...{ name, type, help },
    samples: [{ value }],
  });
  return [
    one("process_cpu_seconds_total", "counter", "CPU time of the daemon in seconds.", (user + system) / 1e6),
    one("process_resident_memory_bytes", "gauge", "Resident memory of the daemon in bytes.", bytes("VmRSS")),
    one("process_virtual_memory_bytes", "gauge", "Virtual memory of the daemon in bytes.", bytes("VmSize")),
    one(
      "process_start_time_seconds",
      "gauge",
      "Start of the daemon in seconds since the epoch.",
      Math.round(Date.now() / 1000 - process.uptime()),
    ),
    one("process_open_fds", "gauge", "Open file descriptors of the daemon.", readdirSync("/proc/self/fd").length),
    one("process_max_fds", "gauge", "How many the daemon may open.", Number(limit ?? 0)),
    one("nodejs_heap_size_used_bytes", "gauge", "JavaScript heap in use, in bytes.", heapUsed),
    one("nodejs_heap_size_total_bytes", "gauge", "JavaScript heap, in bytes.", heapTotal),
  ];
}
