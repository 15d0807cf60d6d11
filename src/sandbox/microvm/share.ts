import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync } from "node:fs";
import { rm, stat } from "node:fs/promises";
import type { Socket } from "node:net";
import { join } from "node:path";
import { GantryError, messageOf } from "../../system/errors.ts";
import type { PreparedVolume, SandboxConfig } from "../driver.ts";
import { findBinary } from "../namespace/runtime.ts";
import type { SandboxFiles } from "./dirs.ts";
import type { CgroupEntrance } from "./jail/cgroup.ts";
import { lastWords } from "./qemu/process.ts";
import { connectUnix } from "./qemu/socket.ts";
import { refusal } from "./refusals.ts";

/**
 * hostPath volumes: virtiofsd serves the host's files to a VM, which sees every change at once and is seen at once. One
 * process per pod that has any. It sees those paths and nothing else: in a mount namespace of its own they are put
 * together in one directory, which then becomes its root; it has no network, no processes to see, a seccomp filter, and
 * the capabilities that files take (but no device is made). It ends when its QEMU does.
 */

/** Debian 12's comes with QEMU, later ones are a package of their own. */
const PROGRAMS = ["/usr/lib/qemu/virtiofsd", "/usr/libexec/virtiofsd"];
const CONNECT_TIMEOUT_MS = 10_000;
/** Where Debian 12's keeps a lock for each socket, and leaves it. */
const LOCKS = ["/run/virtiofsd", "/var/run/virtiofsd"];

/** The directory that is served, in the VM's; the argument of a process that names it tells whose it is. */
export const SHARE_DIRECTORY = "share";

/**
 * $1 the directory; then cgroup files up to "--"; then name, "ro" or "rw", and path of each volume up to "--"; then the
 * server and its arguments. A volume has no devices; what it must not write to, it cannot.
 */
const ENTER = `
cd "$1"; shift
while [ "$1" != -- ]; do echo $$ >"$1"; shift; done; shift
mkdir -p ${SHARE_DIRECTORY}
mount -t tmpfs -o mode=755,size=64k,nodev,nosuid share ${SHARE_DIRECTORY}
while [ "$1" != -- ]; do
  if [ -d "$3" ]; then mkdir "${SHARE_DIRECTORY}/$1"; else : >"${SHARE_DIRECTORY}/$1"; fi
  mount --rbind -- "$3" "${SHARE_DIRECTORY}/$1"
  mount -o "remount,bind,nodev,$2" "${SHARE_DIRECTORY}/$1"
  shift 3
done
shift
mount -o remount,bind,ro ${SHARE_DIRECTORY}
exec "$@"
`;

/** hostPaths, and claims, which the host has mounted: so their size is enforced there, and several pods may have one. */
export function isShared({ kind }: Pick<PreparedVolume, "kind">): boolean {
  return kind === "hostPath" || kind === "claim";
}

/** Those of a pod that are the host's files. */
export function sharedVolumes(config: Pick<SandboxConfig, "volumes">): PreparedVolume[] {
  return config.volumes.filter(isShared);
}

/** @throws GantryError unsupported for what is no file and no directory, volume-failed */
export async function checkShared(volumes: readonly PreparedVolume[]): Promise<void> {
  for (const { name, hostPath } of volumes) {
    const found = await stat(hostPath).catch((cause: unknown) => {
      throw new GantryError("volume-failed", `volume "${name}": ${hostPath} cannot be looked at`, { cause });
    });
    if (found.isDirectory() || found.isFile()) continue;
    throw refusal(
      `the hostPath volume "${name}" (${hostPath})`,
      "it is a socket, a device or a pipe, and what is behind it is in the host's kernel",
    );
  }
}

export interface ShareOptions {
  readonly id: string;
  readonly files: Pick<SandboxFiles, "root" | "log">;
  readonly volumes: readonly PreparedVolume[];
  readonly cgroup: CgroupEntrance;
}

/**
 * Starts the server of a VM. It outlives us.
 * @returns our end of its socket, which QEMU is to get
 * @throws GantryError command-missing, volume-failed, cancelled
 */
export async function startShare({ id, files, volumes, cgroup }: ShareOptions, signal: AbortSignal): Promise<Socket> {
  const program = PROGRAMS.find((path) => existsSync(path)) ?? findBinary("virtiofsd");
  if (program === undefined) {
    throw new GantryError(
      "command-missing",
      "virtiofsd is not installed, which shares hostPath volumes with micro-VMs",
      {
        hint: "Install it: apt-get install qemu-system-common (Debian 12) or virtiofsd (later).",
      },
    );
  }
  const socket = socketName(id);
  const log = openSync(files.log, "a", 0o600);
  const ended = Promise.withResolvers<never>();
  ended.promise.catch(() => {});
  try {
    const cgroups = [
      ...cgroup.tasks,
      ...(cgroup.directory === undefined ? [] : [join(cgroup.directory, "cgroup.procs")]),
    ];
    const shown = volumes.flatMap(({ name, hostPath, readOnly }) => [name, readOnly === true ? "ro" : "rw", hostPath]);
    const server = [
      program,
      "-f",
      `--socket-path=${socket}`,
      "--rlimit-nofile=0",
      "-o",
      sourceOf(files.root),
      "-o",
      OPTIONS,
    ];
    const enter = ["sh", "-ec", ENTER, "share", files.root, ...cgroups, "--", ...shown, "--", ...server];
    const child = spawn("unshare", ["--mount", "--propagation", "private", "--", ...enter], {
      cwd: files.root,
      env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin" },
      detached: true,
      stdio: ["ignore", log, log],
    });
    const onEnd = (): void => ended.reject(new GantryError("runtime-failed", "virtiofsd ended", { kind: "system" }));
    child.on("error", onEnd);
    child.on("exit", onEnd);
    child.unref();
  } finally {
    closeSync(log);
  }
  const limit = AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
  try {
    return await Promise.race([connectUnix(join(files.root, socket), limit), ended.promise]);
  } catch (cause) {
    if (signal.aborted) throw cause;
    const said = await lastWords(files.log);
    throw new GantryError("volume-failed", `the hostPath volumes cannot be shared: ${said || messageOf(cause)}`, {
      cause,
    });
  } finally {
    await removeLocks(id);
  }
}

/**
 * "auto" lets programs map files that they share with others, as databases do; with a timeout of 0 nothing is taken for
 * still true without being asked for again.
 */
const OPTIONS = "cache=auto,timeout=0,xattr,announce_submounts,sandbox=namespace,modcaps=-mknod,log_level=warn";

const socketName = (id: string): string => `share-${id}.sock`;

/** In a list of options a comma is kept by a backslash. */
const sourceOf = (root: string): string => `source=${join(root, SHARE_DIRECTORY).replaceAll(/[\\,]/g, "\\$&")}`;

/** The directory of the VM whose server has this argument, if it is one. */
export function sharedDirectoryIn(argument: string): string | undefined {
  const end = `/${SHARE_DIRECTORY}`;
  if (!argument.startsWith("source=") || !argument.endsWith(end)) return undefined;
  return argument.slice("source=".length, -end.length).replaceAll(/\\(.)/g, "$1");
}

/** Nobody else will ever want this name. */
async function removeLocks(id: string): Promise<void> {
  for (const directory of LOCKS) {
    // The socket's path with dots for slashes.
    await rm(join(directory, `${socketName(id)}.pid`), { force: true });
  }
}
