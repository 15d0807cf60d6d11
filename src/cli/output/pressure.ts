import { whoWaits } from "../../eviction/thresholds.ts";
import type { Colors } from "./color.ts";

/** What `status` says of a node that is short of something. Pure. @param conditions "MemoryPressure", "DiskPressure" */
export function pressureSection(conditions: readonly string[], colors: Colors): string[] {
  if (conditions.length === 0) return [];
  const names = conditions.map((name) => colors.yellow(name)).join(", ");
  return [
    `${colors.bold("Node:")} ${names}: ${whoWaits(conditions)} until it is over, and pods may be evicted ('gantry events --types Warning').`,
  ];
}
