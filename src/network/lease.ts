import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../system/errors.ts";

export interface Leases {
  /** The sandboxes that hold an address. */
  readonly holders: ReadonlySet<string>;
  /** Files without a holder: their plugin was killed between making and filling them. */
  readonly empty: readonly string[];
}

/**
 * The leases of a host-local network. The plugin keeps one file per address; its first line is the container id
 * (github.com/containernetworking/plugins, ipam/host-local).
 */
export async function readLeases(dataDir: string, network: string): Promise<Leases> {
  const folder = join(dataDir, network);
  const names = await readdir(folder).catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  });
  const holders = new Set<string>();
  const empty: string[] = [];
  for (const name of names.filter((each) => /^[\d.]+$/.test(each))) {
    const file = join(folder, name);
    const text = await readFile(file, "utf8").catch(() => undefined);
    const holder = text?.split(/\r?\n/)[0]?.trim();
    if (holder === "") empty.push(file);
    else if (holder !== undefined) holders.add(holder);
  }
  return { holders, empty };
}
