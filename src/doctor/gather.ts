import { constants } from "node:fs";
import { access, readFile, statfs } from "node:fs/promises";
import { release } from "node:os";
import { dirname } from "node:path";
import type { Config } from "../config/index.ts";
import { probeRuntimes } from "../sandbox/namespace/index.ts";
import { mountTable } from "../sandbox/namespace/mounts.ts";
import { exec } from "../system/exec.ts";
import type { Paths } from "../system/paths.ts";
import type { CgroupFacts, DiskFacts, HostFacts, LimitFacts, RuntimeFact, ToolFacts } from "./facts.ts";
import { gatherConfinement } from "./gather-confinement.ts";
import { gatherDaemon } from "./gather-daemon.ts";
import { gatherFeatures, gatherKvm } from "./gather-kernel.ts";
import { gatherMicrovm } from "./gather-microvm.ts";
import { gatherNetwork } from "./gather-network.ts";
import { gatherTools } from "./gather-tools.ts";

/** Looks at the host. Changes nothing but the OCI runtimes' trial results, which are cached under `paths.run`. */
export async function gather(paths: Paths, config: Config, signal: AbortSignal): Promise<HostFacts> {
  const uid = process.geteuid?.() ?? -1;
  const status = await text("/proc/self/status");
  const root = uid === 0;
  const [features, limits, disks, tools, network, kvm, microvm, daemon] = await Promise.all([
    gatherFeatures(root, signal),
    gatherLimits(),
    gatherDisks(paths),
    gatherTools(signal),
    gatherNetwork(paths, config, root, signal),
    gatherKvm(),
    gatherMicrovm(paths, config, root, signal),
    gatherDaemon(paths, config, root, signal),
  ]);
  return {
    uid,
    capabilities: BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`),
    kernelRelease: release(),
    machine: process.arch,
    features,
    confinement: await gatherConfinement(config),
    cgroups: await gatherCgroups(),
    limits,
    disks,
    now: Date.now(),
    tools,
    runtimes: root ? await tryRuntimes(paths, signal) : untriedRuntimes(tools),
    network,
    kvm,
    microvm,
    daemon,
  };
}

/** "" for a file that is not there or not ours to read. */
export const text = (file: string): Promise<string> => readFile(file, "utf8").catch(() => "");

/** What a tool prints; undefined when it is missing or fails. */
export async function said(
  command: string,
  args: readonly string[],
  signal: AbortSignal,
  input = "",
): Promise<string | undefined> {
  try {
    return (await exec(command, args, { signal, input, timeoutMs: 10_000 })).stdout;
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

async function gatherLimits(): Promise<LimitFacts> {
  const number = async (file: string): Promise<number | undefined> => {
    const value = (await text(file)).trim();
    return value === "" ? undefined : Number(value);
  };
  const [userNamespaces, inotifyInstances, inotifyWatches, pidMax] = await Promise.all([
    number("/proc/sys/user/max_user_namespaces"),
    number("/proc/sys/fs/inotify/max_user_instances"),
    number("/proc/sys/fs/inotify/max_user_watches"),
    number("/proc/sys/kernel/pid_max"),
  ]);
  return { userNamespaces, inotifyInstances, inotifyWatches, pidMax };
}

async function gatherDisks(paths: Paths): Promise<DiskFacts[]> {
  const uses = [
    { use: "images and volumes", path: paths.lib },
    { use: "run-time state", path: paths.run },
    { use: "logs of pods", path: paths.podLogs },
  ];
  return Promise.all(
    uses.map(async ({ use, path }) => {
      const there = await nearestExisting(path);
      const { bavail, bsize, files, ffree } = await statfs(there);
      const writable = await access(there, constants.W_OK).then(
        () => true,
        () => false,
      );
      return { use, path, freeBytes: bavail * bsize, freeInodes: ffree, totalInodes: files, writable };
    }),
  );
}

async function nearestExisting(path: string): Promise<string> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  return exists || path === "/" ? path : nearestExisting(dirname(path));
}

async function gatherCgroups(): Promise<CgroupFacts> {
  const mounts = mountTable(await text("/proc/self/mountinfo"));
  const unified = mounts.findLast((mount) => mount.fsType === "cgroup2");
  const root = mounts.findLast((mount) => mount.mountPoint === "/sys/fs/cgroup");
  const enabled = (await text("/proc/cgroups")).split("\n").flatMap((line) => {
    const [name = "", , , on] = line.split("\t");
    return on === "1" ? [name] : [];
  });
  const options = mounts.filter((mount) => mount.fsType === "cgroup").flatMap((mount) => mount.options);
  const v1 = enabled.filter((name) => options.includes(name));
  const v2 =
    unified === undefined
      ? []
      : (await text(`${unified.mountPoint}/cgroup.controllers`)).trim().split(" ").filter(Boolean);
  return { mode: modeOf(root?.fsType, v1, unified !== undefined), v1, v2, enabled };
}

function modeOf(rootType: string | undefined, v1: readonly string[], hasUnified: boolean): CgroupFacts["mode"] {
  if (rootType === "cgroup2") return "v2";
  if (v1.length === 0) return "none";
  return hasUnified ? "hybrid" : "v1";
}

async function tryRuntimes(paths: Paths, signal: AbortSignal): Promise<RuntimeFact[]> {
  const facts = await probeRuntimes(paths, signal);
  return facts.map(({ name, version, usable, why }) => ({ name, version, usable: usable ? "yes" : "no", why }));
}

function untriedRuntimes({ versions }: ToolFacts): RuntimeFact[] {
  return ["crun", "runc"].map((name) => {
    const version = versions[name];
    return version === undefined
      ? { name, version, usable: "no", why: "not installed" }
      : { name, version, usable: "unknown", why: undefined };
  });
}
