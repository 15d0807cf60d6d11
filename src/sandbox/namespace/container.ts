import { mkdir, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { GantryError, isGantryError, messageOf, toGantryError } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { ownCgroupEscapes } from "../cgroup/own.ts";
import type { ContainerConfig } from "../driver.ts";
import { bundleSpec, layOut, overlayOptions } from "./bundle.ts";
import { launchConmon } from "./conmon.ts";
import type { Context } from "./context.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import { identify } from "./proc.ts";
import { newContainerRecord, type SandboxRecord } from "./records.ts";
import { dismantleContainer } from "./remove.ts";
import type { Runtime } from "./runtime.ts";
import { cleanRuntimeMessage, runtimeError } from "./runtime-errors.ts";
import { readySandbox } from "./sandbox.ts";
import { shiftOwners } from "./userns.ts";

/** See SandboxDriver.createContainer. */
export async function createContainer(
  ctx: Context,
  sandboxId: string,
  config: ContainerConfig,
  signal: AbortSignal,
): Promise<void> {
  const sandbox = await readySandbox(ctx, sandboxId);
  const files = containerFiles(ctx.dirs, sandboxId, config.id);
  const before = await ctx.records.container(files.record).catch(() => undefined);
  if (before !== undefined && before.phase !== "creating") return;
  await dismantleContainer(ctx, sandboxId, config.id, sandbox); // what a crash left half done, if anything
  ctx.owners.set(config.id, sandboxId);
  try {
    await build(ctx, sandbox, config, signal);
  } catch (error) {
    await dismantleContainer(ctx, sandboxId, config.id, sandbox);
    throw toGantryError(error, "runtime-failed", `container ${config.name} cannot be created`);
  }
}

/**
 * Begins with containers while their sandbox still comes up: see SandboxConfig.begin. One that can't be made leaves
 * nothing behind; createContainer will say why.
 */
export async function beginContainers(
  ctx: Context,
  sandbox: SandboxRecord,
  configs: readonly ContainerConfig[],
  signal: AbortSignal,
): Promise<void> {
  for (const config of configs) {
    ctx.owners.set(config.id, sandbox.config.id);
    try {
      await build(ctx, sandbox, config, signal);
    } catch (error) {
      ctx.log.debug({ container: config.id, reason: messageOf(error) }, "could not be begun with, is tried again");
      await dismantleContainer(ctx, sandbox.config.id, config.id, sandbox);
    }
  }
}

async function build(
  ctx: Context,
  sandbox: SandboxRecord,
  config: ContainerConfig,
  signal: AbortSignal,
): Promise<void> {
  const runtime = ctx.runtimes.at(sandbox.runtime);
  const { firstHostId } = sandbox;
  const lower = await ctx.images.rootfs(config.imageDigest, signal);
  const files = await layOut(ctx, sandbox.config.id, config, lower);
  const spec = ctx.seccomp.use(await bundleSpec(ctx, sandbox, config, { lower, files, runtime }, signal), runtime);
  await writeFile(files.spec, JSON.stringify(spec), { mode: 0o600 });
  const label = config.security.seLinux?.files;
  let overlay = overlayOptions(files, lower, { shifted: firstHostId !== undefined, label });
  if (firstHostId !== undefined) {
    await mkdir(files.publicRootfs, { recursive: true, mode: 0o755 });
    await exec("mount", ["-i", "-t", "overlay", "-o", overlay, "overlay", files.publicRootfs], { signal });
    await shiftOwners(files.publicRootfs, firstHostId, signal);
    overlay = "";
  }
  const launched = await launchConmon(
    {
      id: config.id,
      name: config.name,
      files,
      dirs: ctx.dirs,
      runtime,
      logPath: config.logPath,
      stdin: config.stdin,
      tty: config.tty,
      overlay,
      cgroupProcs: ownCgroupEscapes(ctx.cgroups, ctx.dirs.cgroup),
    },
    signal,
  );
  const ownFilter = config.security.seccomp.type === "Localhost";
  const facts = { command: config.argv[0] ?? "", cwd: config.workingDir, runtime: runtime.name, ownFilter };
  if ("failure" in launched) throw runtimeError(launched.failure, facts);
  const process = identify(launched.pid);
  if (process === undefined) throw runtimeError("the container ended before it was started", facts);
  const record = await ctx.records.container(files.record);
  const base = record ?? newContainerRecord(config, ctx.clock.now(), ctx.bootId);
  await ctx.records.save(files.record, { ...base, phase: "created", process });
  await ctx.seccomp.keep(spec, runtime, config.id);
}

/** See SandboxDriver.startContainer. */
export async function startContainer(ctx: Context, sandboxId: string, id: string, signal: AbortSignal): Promise<void> {
  const files = containerFiles(ctx.dirs, sandboxId, id);
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const record = await ctx.records.container(files.record);
  if (!sandbox || !record) throw noSuchContainer(sandboxId, id);
  if (record.phase === "started") return;
  const runtime = ctx.runtimes.at(sandbox.runtime);
  const observed = await observeContainer(ctx, sandbox, id);
  if (observed?.state === "unknown" || record.phase === "creating") {
    throw new GantryError("conflict", `container ${id} is only half created`, {
      kind: "system",
      hint: "Create it again.",
    });
  }
  if (observed?.state === "exited") return;
  const startedAt = ctx.clock.now();
  if (observed?.state === "created") await runtimeStart(runtime, id, dirname(files.root), signal);
  await ctx.records.save(files.record, { ...record, phase: "started", startedAt });
}

async function runtimeStart(runtime: Runtime, id: string, cwd: string, signal: AbortSignal): Promise<void> {
  try {
    await exec(runtime.path, ["--root", runtime.root, "start", id], { signal, cwd });
  } catch (error) {
    if (!isGantryError(error, "command-failed")) throw error;
    const said = cleanRuntimeMessage(String(error.details["stderr"] ?? ""));
    throw new GantryError("runtime-failed", `${runtime.name} cannot start the container: ${said}`, {
      cause: error,
      details: { reason: "StartError", exitCode: 128, runtime: runtime.name, said },
    });
  }
}

export function noSuchContainer(sandboxId: string, id: string): GantryError {
  return new GantryError("not-found", `there is no container ${id} in sandbox ${sandboxId}`, { kind: "system" });
}
