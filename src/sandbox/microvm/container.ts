import { mkdir, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { arch } from "node:process";
import { GantryError, messageOf, toGantryError } from "../../system/errors.ts";
import type { ContainerConfig } from "../driver.ts";
import { makeDirectory, removeTree } from "../namespace/files.ts";
import { seccompFor } from "../namespace/oci/seccomp.ts";
import { resolveUser } from "../namespace/users.ts";
import { isRefusal } from "./channel/push.ts";
import type { Context } from "./context.ts";
import { explainFilter, explainSubPath } from "./create-errors.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { observeContainer, slotUses } from "./list.ts";
import { capabilitiesFor, createRequest, processRecord } from "./process-spec.ts";
import type { CreateRequest } from "./protocol/index.ts";
import { insertImage, logTo } from "./qemu/devices.ts";
import { newContainerRecord, type SandboxRecord } from "./records.ts";
import { refuseContainer } from "./refusals.ts";
import { dismantleContainer } from "./remove.ts";
import { readySandbox } from "./sandbox.ts";
import { sharedVolumes } from "./share.ts";
import { allocateSlots, imageSlots } from "./slots.ts";
import { standbyRequest } from "./standby/build.ts";
import { provideVolumes } from "./volumes.ts";

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
  if (signal.aborted) throw new GantryError("cancelled", "creating the container was cancelled", { kind: "system" });
  await dismantleContainer(ctx, sandbox, sandboxId, config.id, signal); // what a crash left half done, if anything
  try {
    await build(ctx, sandbox, config, Promise.resolve(), signal);
  } catch (error) {
    // Also when it was cancelled: half a container is of no use to anybody.
    await dismantleContainer(ctx, sandbox, sandboxId, config.id, NEVER).catch((left: unknown) =>
      ctx.log.warn({ container: config.id, reason: messageOf(left) }, "a half-made container is left; removed later"),
    );
    throw toGantryError(error, "runtime-failed", `container ${config.name} cannot be created`);
  }
}

const NEVER: AbortSignal = new AbortController().signal;

/** See SandboxConfig.begin. One that can't be made leaves nothing behind; createContainer will say why. */
export async function beginContainers(
  ctx: Context,
  sandbox: SandboxRecord,
  configs: readonly ContainerConfig[],
  configured: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  for (const config of configs) {
    try {
      await build(ctx, sandbox, config, configured, signal);
    } catch (error) {
      ctx.log.debug({ container: config.id, reason: messageOf(error) }, "could not be begun with, is tried again");
      await dismantleContainer(ctx, sandbox, sandbox.config.id, config.id, NEVER).catch(() => {});
    }
  }
}

/** @param configured the guest's own set-up, which goes on beside ours */
async function build(
  ctx: Context,
  sandbox: SandboxRecord,
  config: ContainerConfig,
  configured: Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  refuseContainer(config, sandbox.config.volumes);
  const sandboxId = sandbox.config.id;
  const [root, image, used] = await Promise.all([
    ctx.images.rootfs(config.imageDigest, signal),
    ctx.images.rootFile(config.imageDigest, signal),
    slotUses(ctx, sandbox),
  ]);
  const capabilities = capabilitiesFor(config);
  const user = await resolveUser(root, config.user);
  const filter = seccompFor(config.security, { capabilities, arch, kernel: sandbox.boot?.kernel ?? "" });
  const seccomp = filter && (await ctx.compileSeccomp(filter));
  const process = processRecord(sandbox.config, config, user, capabilities, seccomp);
  const disks = sandbox.shape.disks - imageSlots(sandbox).size;
  const slots = allocateSlots({ ...sandbox.shape, disks }, used, config.imageDigest);
  const files = containerFiles(ctx.dirs, sandboxId, config.id);
  const record = newContainerRecord(config, ctx.clock.now(), slots);
  const temporary = join(dirname(files.root), `.${config.id}.new`);
  await removeTree(temporary);
  await mkdir(temporary, { mode: 0o711 });
  await ctx.records.save(join(temporary, "container.json"), record);
  await ctx.records.save(join(temporary, "process.json"), process);
  await makeDirectory(dirname(config.logPath), 0o755);
  await rename(temporary, files.root);

  const machine = ctx.machines.get(sandboxId);
  const controls = { qmp: await machine.qmp(signal), jailer: sandboxFiles(ctx.dirs, sandboxId).jailer };
  if (!used.some((use) => use.disk === slots.disk)) await insertImage(controls, slots.disk, image);
  await logTo(controls, slots.logPort, config.logPath);
  await configured;
  await provideVolumes(ctx, sandbox, config, signal);
  const body = createRequest(sandbox.config, config, process, slots);
  await machine.guest.request({ type: "create", body }, signal).catch((error: unknown) => {
    throw explainFilter(explainSubPath(error, config), config);
  });
  await machine.guest.refresh(signal);
  wantAnother(ctx, sandbox, body);
  await ctx.records.save(files.record, { ...record, phase: "created" });
}

/** The next pod like this one may find a VM on standby. */
function wantAnother(ctx: Context, { config }: SandboxRecord, body: CreateRequest): void {
  if (ctx.standbys.keep === 0 || sharedVolumes(config).length > 0) return;
  ctx.plan(config, NEVER).then(
    (plan) => ctx.standbys.want(standbyRequest(ctx, plan, body)),
    () => {}, // this one has come up all the same
  );
}

/** See SandboxDriver.startContainer. */
export async function startContainer(ctx: Context, sandboxId: string, id: string, signal: AbortSignal): Promise<void> {
  const files = containerFiles(ctx.dirs, sandboxId, id);
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const record = await ctx.records.container(files.record);
  if (!sandbox || !record) throw noSuchContainer(sandboxId, id);
  if (record.phase === "started") return;
  const observed = await observeContainer(ctx, sandbox, id);
  if (observed?.state === "unknown" || record.phase === "creating") {
    throw new GantryError("conflict", `container ${id} is only half created`, {
      kind: "system",
      hint: "Create it again.",
    });
  }
  if (observed?.state === "exited") return;
  const startedAt = ctx.clock.now();
  const { guest } = ctx.machines.get(sandboxId);
  try {
    await guest.request({ type: "start", body: { container: id } }, signal);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    throw new GantryError("runtime-failed", `the container cannot be started: ${error.message}`, {
      cause: error,
      details: { reason: "StartError", exitCode: 128, runtime: "microvm", said: error.message },
    });
  }
  await guest.refresh(signal);
  await ctx.records.save(files.record, { ...record, phase: "started", startedAt });
}

export function noSuchContainer(sandboxId: string, id: string): GantryError {
  return new GantryError("not-found", `there is no container ${id} in sandbox ${sandboxId}`, { kind: "system" });
}
