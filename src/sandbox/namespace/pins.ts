import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { GantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { mountTmpfs, type TmpfsOptions } from "../../system/tmpfs.ts";
import type { SandboxConfig } from "../driver.ts";
import type { SandboxFiles } from "./dirs.ts";
import { makeDirectory, namesIn } from "./files.ts";
import { mountTable } from "./mounts.ts";
import { pinUserNamespace } from "./userns-pin.ts";

/** What Docker and containerd give a pod; a Memory emptyDir on /dev/shm is the way to more. */
const SHM_BYTES = 64 * 1024 * 1024;

/** As unshare(1) names them. */
export type PinnedNamespace = "net" | "ipc" | "uts" | "user";

/** Which namespaces a sandbox has of its own. The others are the host's. */
export function ownNamespaces(config: SandboxConfig): PinnedNamespace[] {
  return [
    ...(config.hostUsers ? [] : (["user"] as const)),
    ...(config.hostNetwork ? [] : (["net"] as const)),
    ...(config.hostIPC ? [] : (["ipc"] as const)),
    // The host's name is part of the host's network, as in Kubernetes.
    ...(config.hostNetwork ? [] : (["uts"] as const)),
  ];
}

/**
 * Makes the namespaces of a sandbox, pins them to files, and mounts the /dev/shm that its containers share: all with
 * one process, since each costs a few ms; with two where there is a user namespace.
 */
export async function pinNamespaces(
  config: SandboxConfig,
  files: SandboxFiles,
  firstHostId: number | undefined,
  signal: AbortSignal,
): Promise<void> {
  const own = ownNamespaces(config);
  await Promise.all(own.map((name) => writeFile(files[name], "", { mode: 0o444 })));
  const owner = firstHostId === undefined ? "" : `,uid=${firstHostId},gid=${firstHostId}`;
  const options = `nosuid,nodev,noexec,mode=1777,size=${SHM_BYTES}${owner}`;
  const shm = config.hostIPC ? ["true"] : ["mount", "-i", "-t", "tmpfs", "-o", options, "shm", files.shm];
  if (firstHostId !== undefined) {
    await pinUserNamespace(own, files, firstHostId, signal);
    await exec("env", shm, { signal });
  } else {
    const flags = own.map((name) => `--${name}=${files[name]}`);
    await exec(own.length === 0 ? "env" : "unshare", [...flags, ...shm], { signal });
  }
}

/** Inodes of the pins by name: what `list` compares with to see that they still hold what we made. */
export function pinInodes(config: SandboxConfig, files: SandboxFiles): Record<string, number> {
  return Object.fromEntries(ownNamespaces(config).map((name) => [name, statSync(files[name]).ino]));
}

export function pinsIntact(
  inodes: Readonly<Record<string, number>>,
  config: SandboxConfig,
  files: SandboxFiles,
): boolean {
  return ownNamespaces(config).every((name) => statSync(files[name], { throwIfNoEntry: false })?.ino === inodes[name]);
}

/**
 * Makes each directory a tmpfs that propagates nowhere. A pin that another mount namespace got a copy of could never be
 * let go; and what containers get by their environment, Secrets among it, stands in what is written here for the
 * runtimes, and is to reach no disk. @throws GantryError host-unsupported
 */
export async function privateBases(
  paths: readonly string[],
  options: Pick<TmpfsOptions, "mode" | "plain">,
  signal: AbortSignal,
): Promise<void> {
  for (const path of paths) {
    await makeDirectory(path);
    if (mountTable().some((mount) => mount.mountPoint === path)) continue;
    try {
      await mountTmpfs(path, { ...options, noSwap: true, private: true }, signal);
    } catch (cause) {
      if (signal.aborted) throw cause;
      throw new GantryError("host-unsupported", `cannot mount a tmpfs at ${path}`, {
        kind: "system",
        cause,
        hint: "Gantry needs to run as root, with CAP_SYS_ADMIN.",
      });
    }
  }
}

/** Takes those mounts away again, if no sandbox is left in the first. One that is in use stays. */
export async function releaseBases(paths: readonly [string, ...string[]]): Promise<void> {
  if ((await namesIn(paths[0])).length > 0) return;
  for (const path of paths) {
    if (mountTable().some((mount) => mount.mountPoint === path)) await exec("umount", ["--", path], { okCodes: "any" });
  }
}
