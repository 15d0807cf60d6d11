import { readdirSync } from "node:fs";
import { procStat, sendSignal } from "./proc.ts";

const SIGSTOP = 19;
const SIGKILL = 9;

/** Kills a process and all that descend from it. Each is stopped first, so that none can fork meanwhile. */
export function killTree(pid: number): void {
  const tree: number[] = [];
  const collect = (parent: number, depth: number): void => {
    if (depth > 64 || !sendSignal(parent, SIGSTOP)) return;
    tree.push(parent);
    for (const child of childrenOf(parent)) collect(child, depth + 1);
  };
  collect(pid, 0);
  for (const victim of tree) sendSignal(victim, SIGKILL);
}

function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((candidate) => procStat(candidate)?.parent === pid);
}
