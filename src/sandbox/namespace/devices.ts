import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isAbsent } from "./files.ts";
import type { OciDevice } from "./oci/types.ts";

/** Mounts of their own in /dev, of which each container has its own. */
const SKIPPED = new Set(["pts", "shm", "mqueue", "fd", "console", "ptmx", ".lxc"]);

/** Every device node of the host, as a privileged container sees them. */
export async function hostDevices(directory = "/dev"): Promise<OciDevice[]> {
  const found: OciDevice[] = [];
  for (const name of await readdir(directory)) {
    if (directory === "/dev" && SKIPPED.has(name)) continue;
    const path = join(directory, name);
    try {
      const stat = await lstat(path, { bigint: true });
      if (stat.isDirectory()) found.push(...(await hostDevices(path)));
      if (!stat.isBlockDevice() && !stat.isCharacterDevice()) continue;
      found.push({
        path,
        type: stat.isBlockDevice() ? "b" : "c",
        ...splitDeviceNumber(stat.rdev),
        fileMode: Number(stat.mode) & 0o777,
        uid: Number(stat.uid),
        gid: Number(stat.gid),
      });
    } catch (error) {
      if (!isAbsent(error)) throw error; // unplugged meanwhile
    }
  }
  return found;
}

/** See makedev(3): 12 + 20 bits of the major and 8 + 12 (+ 12) of the minor number, interleaved. */
export function splitDeviceNumber(rdev: bigint): { readonly major: number; readonly minor: number } {
  const major = ((rdev >> 8n) & 0xfffn) | ((rdev >> 32n) & ~0xfffn);
  const minor = (rdev & 0xffn) | ((rdev >> 12n) & ~0xffn);
  return { major: Number(major & 0xffffffffn), minor: Number(minor & 0xffffffffn) };
}
