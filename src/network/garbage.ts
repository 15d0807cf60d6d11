import { rm } from "node:fs/promises";
import { z } from "zod";
import { removeInterface } from "./bridge.ts";
import { readLeases } from "./lease.ts";
import type { OwnNetwork } from "./own-conflist.ts";
import type { Exec } from "./plugin.ts";
import type { Records } from "./records.ts";
import { hostInterfaces } from "./result.ts";

export interface Collection {
  /** Sandboxes that are to keep their network. */
  readonly known: ReadonlySet<string>;
  readonly own: OwnNetwork | undefined;
  readonly leases: string;
  readonly records: Records;
  /** Sandboxes that are being worked on right now: hands off. */
  readonly busy: () => ReadonlySet<string>;
  /** True for one that was attached so lately that `known` may be older. */
  readonly fresh: (sandboxId: string) => boolean;
  readonly exec: Exec;
  readonly signal: AbortSignal;
  readonly release: (sandboxId: string) => Promise<void>;
  /** True when there was something to repair. */
  readonly repairPorts: () => Promise<boolean>;
}

/** Removes what belongs to no known sandbox. @returns what, for people */
export async function collect(job: Collection): Promise<string[]> {
  const removed: string[] = [];
  const leases = job.own === undefined ? undefined : await readLeases(job.leases, job.own.name);
  const found = new Set([
    ...job.records.all().map((record) => record.sandboxId),
    ...job.records.damaged(),
    ...(leases?.holders ?? []),
  ]);
  for (const id of found) {
    if (job.known.has(id) || job.busy().has(id) || job.fresh(id)) continue;
    await job.release(id);
    removed.push(`network of sandbox ${id}`);
  }
  if (job.own !== undefined && job.busy().size === 0) {
    for (const file of leases?.empty ?? []) {
      await rm(file, { force: true });
      removed.push(`empty lease ${file}`);
    }
    // The interface of a living pod whose record is lost looks like a stray one.
    const anyLost = [...found].some((id) => job.known.has(id) && job.records.get(id) === undefined);
    for (const name of anyLost ? [] : await strayPorts(job, job.own)) {
      await removeInterface(job.exec, name, job.signal);
      removed.push(`interface ${name}`);
    }
  }
  if (await job.repairPorts()) removed.push("changed port rules (made anew)");
  return removed;
}

const linksSchema = z.array(z.object({ ifname: z.string().optional() }));

/** Interfaces on our bridge that no record knows. None while an attach runs: its veth is not recorded yet. */
async function strayPorts(job: Collection, own: OwnNetwork): Promise<string[]> {
  const { stdout } = await job.exec("ip", ["-j", "link", "show", "master", own.bridge], { signal: job.signal });
  if (job.busy().size > 0) return [];
  const expected = new Set(
    job.records.all().flatMap((record) => (record.result === undefined ? [] : hostInterfaces(record.result))),
  );
  const links = linksSchema.parse(JSON.parse(stdout.trim() || "[]"));
  return links.flatMap(({ ifname }) => (ifname === undefined || expected.has(ifname) ? [] : [ifname]));
}
