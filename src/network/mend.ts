import { existsSync, readlinkSync } from "node:fs";
import { basename } from "node:path";
import type { Exec } from "./plugin.ts";
import type { AttachmentRecord } from "./records.ts";
import { hostInterfaces } from "./result.ts";

/** True while the host's ends of a pod's interface are there; `bridge` is left out, as it can be made anew. */
export function hasHostEnds(record: AttachmentRecord, bridge: string): boolean {
  if (record.result === undefined) return true; // it is being attached
  return hostInterfaces(record.result).every((name) => name === bridge || existsSync(`/sys/class/net/${name}`));
}

/**
 * Puts the host's ends of pods back into the bridge that they belong to: a bridge that was deleted has lost them,
 * also when it is there again. @returns their names
 */
export async function rejoinBridge(
  exec: Exec,
  bridge: string,
  records: readonly AttachmentRecord[],
  signal: AbortSignal,
): Promise<string[]> {
  const ends = records.flatMap(({ result }) => {
    const names = result === undefined ? [] : hostInterfaces(result);
    return names.includes(bridge) ? names.filter((name) => name !== bridge) : [];
  });
  const lost = ends.filter((name) => existsSync(`/sys/class/net/${name}`) && masterOf(name) === undefined);
  if (lost.length === 0) return [];
  // As the plugin does it for our conflist.
  const commands = lost.map(
    (name) => `link set ${name} up master ${bridge}\nlink set ${name} type bridge_slave hairpin on\n`,
  );
  await exec("ip", ["-batch", "-"], { input: commands.join(""), signal });
  return lost;
}

function masterOf(name: string): string | undefined {
  try {
    return basename(readlinkSync(`/sys/class/net/${name}/master`));
  } catch {
    return undefined; // in no bridge
  }
}
