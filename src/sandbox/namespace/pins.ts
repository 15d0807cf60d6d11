import { statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { GantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import type { SandboxConfig } from "../driver.ts";
import type { Dirs, SandboxFiles } from "./dirs.ts";
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
 * Makes the directory of sandboxes a mount of its own that propagates nowhere: a pin that another mount namespace
 * got a copy of could never be let go. @throws GantryError host-unsupported
 */
export async function privateBase(dirs: Pick<Dirs, "sandboxes">, signal: AbortSignal): Promise<void> {
  await makeDirectory(dirs.sandboxes);
  if (mountTable().some((mount) => mount.mountPoint === dirs.sandboxes)) return;
  try {
    await exec("mount", ["--bind", "--make-private", dirs.sandboxes, dirs.sandboxes], { signal });
  } catch (cause) {
    if (signal.aborted) throw cause;
    throw new GantryError("host-unsupported", `cannot mount at ${dirs.sandboxes}`, {
      kind: "system",
      cause,
      hint: "Gantry needs to run as root, with CAP_SYS_ADMIN.",
    });
  }
}

/** Takes that mount away again, if no sandbox is left. One that is in use stays. */
export async function releaseBase(dirs: Pick<Dirs, "sandboxes">): Promise<void> {
  if ((await namesIn(dirs.sandboxes)).length > 0) return;
  if (mountTable().some((mount) => mount.mountPoint === dirs.sandboxes)) {
    await exec("umount", ["--", dirs.sandboxes], { okCodes: "any" });
  }
}
