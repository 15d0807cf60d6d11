import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from "node:fs";
import { join } from "node:path";

const HUGETLB = "/sys/fs/cgroup/hugetlb";

/**
 * Lets crun run on a hybrid host. crun refuses cgroup v1 as soon as a controller is left in the v2 tree beside it, and
 * on such hosts that is hugetlb, which nobody mounted: mounting it as v1 frees it.
 * @returns undoes it, if anything was done
 */
export function readyCgroups(): () => void {
  if (process.geteuid?.() !== 0 || !leftInV2().includes("hugetlb")) return () => {};
  mkdirSync(HUGETLB, { recursive: true });
  execFileSync("mount", ["-t", "cgroup", "-o", "hugetlb", "cgroup", HUGETLB]);
  return () => {
    execFileSync("umount", [HUGETLB]);
    try {
      rmdirSync(HUGETLB);
    } catch {
      // it was there before, or somebody uses it: an empty directory does no harm
    }
  };
}

/** Controllers that the v2 tree of a hybrid host has; empty on other hosts. */
function leftInV2(): string[] {
  try {
    return readFileSync("/sys/fs/cgroup/unified/cgroup.controllers", "utf8").split(/\s+/);
  } catch {
    return [];
  }
}

/** Removes the cgroups of this name, with those below, in every hierarchy. Only for tests that play a reboot. */
export function removeCgroupsOf(name: string): void {
  const base = "/sys/fs/cgroup";
  for (const parent of [base, ...readdirSync(base).map((entry) => join(base, entry))]) removeCgroup(join(parent, name));
}

function removeCgroup(path: string): void {
  if (!existsSync(path)) return;
  for (const entry of readdirSync(path, { withFileTypes: true })) {
    if (entry.isDirectory()) removeCgroup(join(path, entry.name));
  }
  rmdirSync(path);
}
