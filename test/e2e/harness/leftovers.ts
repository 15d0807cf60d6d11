import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import type { Paths } from "../../../src/system/paths.ts";
import { cgroups, mounts, networkLinks, nftTables, processes } from "../../setup/leftovers.ts";

/**
 * What is still there of one root after its pods are gone and its daemon has ended; empty when all is well. Things
 * that take the kernel a moment to let go get up to 5 s.
 */
export async function leftoversOf(paths: Paths): Promise<string[]> {
  const deadline = Date.now() + 5_000;
  for (;;) {
    const left = await look(paths);
    if (left.length === 0 || Date.now() > deadline) return left;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function look(paths: Paths): Promise<string[]> {
  const { root, rootId } = paths;
  const [mounted, links, tables] = await Promise.all([mounts(), networkLinks(), nftTables()]);
  return [
    ...mounted.filter((mount) => mount.startsWith(`mount ${root}/`) || mount.includes(`gantry-userns-${rootId}`)),
    ...processes(`${root}/`),
    ...cgroups().filter((cgroup) => basename(cgroup).includes(rootId)),
    ...links.filter((link) => link.includes(rootId)),
    ...tables.filter((table) => table.includes(rootId)),
    ...filesOfPods(paths),
    ...rowsOfPods(paths),
    ...entriesOf(`/run/gantry-names-${rootId}`),
    ...entriesOf("/dev/shm").filter((path) => path.endsWith(`gantry-templates-${rootId}`)),
  ];
}

/** Files that belong to a pod, live or dead: its sandboxes, volumes, logs, exit codes, runtime's state and leases. */
export function filesOfPods({ run, lib, pods, podLogs, rootId }: Paths): string[] {
  const directories = [
    join(run, "sandboxes"),
    join(run, "vms"),
    join(lib, "sandboxes"),
    join(run, "exits"),
    join(run, "network"),
    join(run, "preflight"),
    `/run/gantry-userns-${rootId}`,
    ...entriesOf(join(run, "oci")),
    ...entriesOf(join(run, "cni-leases")),
    pods,
    podLogs,
  ];
  const kept = new Set(["lock", "last_reserved_ip.0"]); // host-local's own, one of each per network
  return directories.flatMap(entriesOf).flatMap((path) => (kept.has(basename(path)) ? [] : [`file ${path}`]));
}

/** What the state database remembers of pods. */
function rowsOfPods({ database }: Paths): string[] {
  using db = new DatabaseSync(database, { readOnly: true });
  return ["pods", "containers", "accepted"].flatMap((table) =>
    db
      .prepare(`SELECT * FROM ${table}`)
      .all()
      .map((row) => `row of ${table} in ${database}: ${JSON.stringify(row).slice(0, 120)}`),
  );
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    return []; // nothing ever needed it
  }
}
