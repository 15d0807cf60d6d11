import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { CgroupHost } from "./host.ts";

/**
 * The cgroup.procs files that conmon must write itself to, so that stopping, limiting or killing the cgroup of the
 * daemon (its systemd unit) leaves the monitors alone. Only where the daemon is in a cgroup at all: moving a process
 * makes the kernel wait, up to some ms.
 */
export function ownCgroupEscapes(host: CgroupHost, parent: string): string[] {
  return [...foreignRoots(host)].map((root) => {
    const directory = join(root, parent, "conmon");
    mkdirSync(directory, { recursive: true });
    return join(directory, "cgroup.procs");
  });
}

/** Hierarchies in which we are not at the root. Lines of /proc/self/cgroup: "4:memory:/path" or "0::/path". */
export function* foreignRoots(host: CgroupHost): Generator<string> {
  for (const line of readFileSync("/proc/self/cgroup", "utf8").split("\n")) {
    const [, , controllers, path] = /^(\d+):([^:]*):(.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined || path === "/") continue;
    const root =
      controllers === ""
        ? host.roots.find((candidate) => candidate === "/sys/fs/cgroup" || candidate.endsWith("/unified"))
        : controllers.startsWith("name=")
          ? host.roots.find((candidate) => candidate.endsWith(`/${controllers.slice(5)}`))
          : host.controller(controllers.split(",")[0] ?? "");
    if (root !== undefined) yield root;
  }
}
