import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { GantryError } from "../../system/errors.ts";
import { limitPod } from "../cgroup/cgroup.ts";
import type { ContainerConfig, ObservedSandbox, SandboxConfig } from "../driver.ts";
import type { Context } from "./context.ts";
import { podCgroup, type SandboxFiles, sandboxFiles } from "./dirs.ts";
import { hostNetworkHostsFile, hostsFile, resolvConf } from "./etc-files.ts";
import { isAbsent, makeDirectory, removeTree } from "./files.ts";
import { observeSandbox } from "./list.ts";
import { startPause } from "./pause.ts";
import { pinInodes, pinNamespaces, pinsIntact } from "./pins.ts";
import type { SandboxRecord } from "./records.ts";
import { dismantleSandbox } from "./remove.ts";
import { allocateIds, type Reservations } from "./userns.ts";

/** Creates containers in a sandbox that is not ready yet; never rejects. */
export type Begin = (sandbox: SandboxRecord, containers: readonly ContainerConfig[]) => Promise<void>;

/** See SandboxDriver.runSandbox. */
export async function runSandbox(
  ctx: Context,
  reserved: Reservations,
  { begin: first = [], ...config }: SandboxConfig,
  begin: Begin,
  signal: AbortSignal,
): Promise<ObservedSandbox> {
  const files = sandboxFiles(ctx.dirs, config.id);
  const before = await ctx.records.sandbox(files.record).catch(() => undefined);
  if (before) {
    const observed = await observeSandbox(ctx, config.id);
    if (observed?.state === "ready") return observed;
    if (before.phase !== "creating") {
      throw new GantryError("conflict", `sandbox ${config.id} was stopped and cannot be run again`, {
        kind: "system",
        hint: "Remove it and make a new one with another id.",
      });
    }
    await dismantleSandbox(ctx, config.id, signal); // what a crash left half done
  }
  const firstHostId = config.hostUsers ? undefined : await allocateIds(ctx, reserved);
  try {
    // What an error leaves behind is listed as not-ready; whoever called removes it, or calls again.
    const record = await build(ctx, files, config, firstHostId, (sandbox) => begin(sandbox, first), signal);
    await ctx.records.save(files.record, record);
  } finally {
    if (firstHostId !== undefined) reserved.delete(firstHostId);
  }
  const observed = await observeSandbox(ctx, config.id);
  if (observed) return observed;
  throw new GantryError("internal", `sandbox ${config.id} is gone again`, { kind: "system" });
}

async function build(
  ctx: Context,
  files: SandboxFiles,
  config: SandboxConfig,
  firstHostId: number | undefined,
  beginWith: (sandbox: SandboxRecord) => Promise<void>,
  signal: AbortSignal,
): Promise<SandboxRecord> {
  const runtime = await ctx.runtimes.choose(config.runtimeHandler, signal);
  const draft: SandboxRecord = {
    config,
    createdAt: ctx.clock.now(),
    bootId: ctx.bootId,
    phase: "creating",
    runtime: runtime.path,
    ips: [],
    inodes: {},
    ...(firstHostId === undefined ? {} : { firstHostId }),
  };
  await createDirectory(ctx, files, draft);
  await pinNamespaces(config, files, firstHostId, signal);
  const paused = config.shareProcessNamespace && !config.hostPID;
  const attaching = config.hostNetwork ? { ips: [] } : ctx.network.attach(attachRequest(config, files), signal);
  // The network takes as long as the first containers do, so they are made side by side; with a pause process
  // they have to wait for its namespace.
  const [network, pausing, limits] = await Promise.allSettled([
    attaching,
    paused ? startPause(ctx, runtime, draft, files, signal) : undefined,
    paused ? prepareRest(ctx, config) : beginFirst(ctx, files, config, () => beginWith(draft)),
  ]);
  // All have ended by now: nothing goes on behind the back of whoever cleans up.
  if (network.status === "rejected") throw network.reason;
  if (pausing.status === "rejected") throw pausing.reason;
  if (limits.status === "rejected") throw limits.reason;
  await writeEtcFiles(config, files, network.value.ips);
  return {
    ...draft,
    phase: "ready",
    ips: [...network.value.ips],
    inodes: pinInodes(config, files),
    ...(pausing.value === undefined ? {} : { pause: pausing.value }),
  };
}

/** The files that containers have mounted must be there before them; they get their text when the address is known. */
async function beginFirst(
  ctx: Context,
  files: SandboxFiles,
  config: SandboxConfig,
  begin: () => Promise<void>,
): Promise<void> {
  await prepareRest(ctx, config);
  await Promise.all([files.hosts, files.resolvConf, files.hostname].map((path) => writeFile(path, "")));
  await begin();
}

/** The directory appears together with its record, so that `list` always knows whose it is. */
async function createDirectory(ctx: Context, files: SandboxFiles, draft: SandboxRecord): Promise<void> {
  const temporary = join(ctx.dirs.sandboxes, `.${draft.config.id}.new`);
  await removeTree(temporary);
  await mkdir(temporary, { mode: 0o711 });
  await Promise.all([mkdir(join(temporary, "shm")), mkdir(join(temporary, "containers"), { mode: 0o711 })]);
  await ctx.records.save(join(temporary, "sandbox.json"), draft);
  await rename(temporary, files.root);
}

async function prepareRest(ctx: Context, config: SandboxConfig): Promise<void> {
  limitPod(ctx.cgroups, podCgroup(ctx.dirs, config.pod.uid), config.resources);
  await makeDirectory(ctx.dirs.layers);
}

async function writeEtcFiles(config: SandboxConfig, files: SandboxFiles, ips: readonly string[]): Promise<void> {
  const hosts = config.hostNetwork
    ? hostNetworkHostsFile(config, await readHostFile("/etc/hosts"))
    : hostsFile(config, ips);
  const resolv = resolvConf(config.dns, config.dns.policy === "host" ? await readHostFile("/etc/resolv.conf") : "");
  const hostname = config.hostNetwork ? await readHostFile("/proc/sys/kernel/hostname") : `${config.hostname}\n`;
  // In place: containers may have these very files mounted already.
  await Promise.all([
    writeFile(files.hosts, hosts),
    writeFile(files.resolvConf, resolv),
    writeFile(files.hostname, hostname),
  ]);
}

/** A host need not have the file. */
async function readHostFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isAbsent(error)) return "";
    throw error;
  }
}

function attachRequest(config: SandboxConfig, files: SandboxFiles): Parameters<Context["network"]["attach"]>[0] {
  const { id, pod, portMappings } = config;
  return { sandboxId: id, podNamespace: pod.namespace, podName: pod.name, netns: files.net, portMappings };
}

/** The record of a sandbox that can take containers. @throws GantryError not-found, conflict */
export async function readySandbox(ctx: Context, id: string): Promise<SandboxRecord> {
  const files = sandboxFiles(ctx.dirs, id);
  const record = await ctx.records.sandbox(files.record);
  if (!record) throw new GantryError("not-found", `there is no sandbox ${id}`, { kind: "system" });
  if (record.phase !== "ready" || record.bootId !== ctx.bootId || !pinsIntact(record.inodes, record.config, files)) {
    throw new GantryError("conflict", `sandbox ${id} is not running`, {
      kind: "system",
      hint: "It was stopped or damaged; remove it and make a new one.",
    });
  }
  return record;
}
