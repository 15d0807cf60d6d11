import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

/** proc(5): fields 14 and 15 of stat, in clock ticks. The name in field 2 may hold blanks, so count from its end. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

const TICKS_PER_SECOND = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
