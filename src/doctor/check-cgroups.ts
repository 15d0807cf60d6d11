import { type Check, fail, ok, warn } from "./check.ts";
import type { CgroupFacts, HostFacts, RuntimeFact } from "./facts.ts";

/** What limits and statistics need. */
const WANTED_V1 = ["cpu", "cpuacct", "memory", "pids", "freezer", "devices"];
const WANTED_V2 = ["cpu", "memory", "pids"];

export function checkCgroups({ cgroups }: HostFacts): Check[] {
  switch (cgroups.mode) {
    case "none":
      return [fail("cgroups", "nothing is mounted at /sys/fs/cgroup", "mount -t cgroup2 cgroup2 /sys/fs/cgroup")];
    case "v2":
      return [
        missingOf(
          "cgroups",
          "v2",
          WANTED_V2.filter((name) => !cgroups.v2.includes(name)),
          "Start the kernel without cgroup_disable=, or delegate them to this container.",
        ),
      ];
    case "v1":
    case "hybrid":
      return [
        missingOf(
          "cgroups",
          cgroups.mode,
          WANTED_V1.filter((name) => !cgroups.v1.includes(name)),
          mountCommands(WANTED_V1.filter((name) => !cgroups.v1.includes(name))),
        ),
      ];
  }
}

function missingOf(name: string, mode: string, missing: readonly string[], mend: string): Check {
  if (missing.length === 0) return ok(name, mode);
  return warn(name, `${mode} without ${missing.join(", ")}: limits and statistics of these are not there`, mend);
}

/** The shell command that mounts v1 hierarchies. */
function mountCommands(controllers: readonly string[]): string {
  return controllers
    .map((name) => `mkdir -p /sys/fs/cgroup/${name} && mount -t cgroup -o ${name} ${name} /sys/fs/cgroup/${name}`)
    .join("; ");
}

/**
 * The OCI runtimes, tried with a container each. On hybrid hosts crun refuses when a controller that the kernel has is
 * mounted in no v1 hierarchy (hugetlb, most often): mounting it is all it takes.
 */
export function checkRuntimes({ runtimes, cgroups }: HostFacts): Check[] {
  return runtimes.map((fact) => checkRuntime(fact, runtimes, cgroups));
}

function checkRuntime(fact: RuntimeFact, all: readonly RuntimeFact[], cgroups: CgroupFacts): Check {
  const name = `OCI runtime ${fact.name}`;
  switch (fact.usable) {
    case "yes":
      return ok(name, fact.version ?? "works");
    case "unknown":
      return ok(name, `${fact.version ?? ""} (only root can try it)`.trim());
    case "no": {
      const found = [fact.version, fact.why].filter(Boolean).join(": ");
      const mend = mendRuntime(fact.name, fact.version, cgroups);
      const other = all.find((each) => each.usable !== "no");
      return other === undefined
        ? fail(name, found, mend)
        : warn(name, `${found}; ${other.name} is used instead`, mend);
    }
  }
}

function mendRuntime(name: string, version: string | undefined, cgroups: CgroupFacts): string {
  if (version === undefined) return `Install it (Debian: apt-get install ${name}).`;
  const unmounted = unmountedControllers(cgroups);
  if (cgroups.mode === "hybrid" && unmounted.length > 0)
    return `${mountCommands(unmounted)}; and start the daemon again`;
  return "See the message; 'dmesg' and a newer version may help.";
}

/** Controllers that crun looks for among the v1 hierarchies and does not find. */
function unmountedControllers({ v1, v2, enabled }: CgroupFacts): string[] {
  const looked = ["hugetlb", ...WANTED_V1, "cpuset", "blkio"];
  return looked.filter((name) => enabled.includes(name) && !v1.includes(name) && !v2.includes(name));
}
