import { mkdir, rename, rmdir, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ImageStore } from "../../image/contract.ts";
import { makeErofs } from "../../image/erofs.ts";
import { IMAGE_FILE_BYTES } from "../../image/limits.ts";
import type { PodNetwork } from "../../network/contract.ts";
import type { Clock } from "../../system/clock.ts";
import { GantryError, messageOf } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import type { Paths } from "../../system/paths.ts";
import { processesIn, removeEmptyCgroup } from "../cgroup/cgroup.ts";
import { detectCgroups } from "../cgroup/host.ts";
import { readStats as readCgroup } from "../cgroup/stats.ts";
import type { SandboxDriver } from "../driver.ts";
import { assertValidIds } from "../ids.ts";
import { makeDirectory, namesIn } from "../namespace/files.ts";
import { createGate, keyedLock } from "../namespace/locks.ts";
import { privateBases, releaseBases } from "../namespace/pins.ts";
import { bootId } from "../namespace/proc.ts";
import { interfacesIn } from "../network-stats.ts";
import { sandboxNotRunning } from "../port-errors.ts";
import type { Decision } from "./accelerator/decide.ts";
import { acceleratorFile, detectAccelerator } from "./accelerator/detect.ts";
import { kvmTrial } from "./accelerator/trial.ts";
import { attachToContainer } from "./attach.ts";
import { exists } from "./boot/compile.ts";
import { ensureBootFiles, type OwnFiles } from "./boot/index.ts";
import { templateFacts, vmArguments } from "./boot-vm.ts";
import { abortable } from "./channel/guest.ts";
import { beginContainers, createContainer, noSuchContainer, startContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { endVm } from "./death.ts";
import { cgroupOf, containerFiles, driverDirs, sandboxFiles } from "./dirs.ts";
import { execInContainer } from "./exec.ts";
import { collectGarbage } from "./garbage.ts";
import { listSandboxes } from "./list.ts";
import { createMachines } from "./machines.ts";
import { TAP } from "./network/tap.ts";
import { type PlanPorts, planFor, planVm, type VmDefaults } from "./plan.ts";
import { connectInGuest } from "./port-forward.ts";
import { findQemu } from "./qemu/find.ts";
import { createRecords } from "./records.ts";
import { dismantleContainer, dismantleSandbox, powerOff } from "./remove.ts";
import { reopenLog } from "./reopen.ts";
import { isRunning, runSandbox } from "./sandbox.ts";
import { emptyScratch, SCRATCH_BYTES } from "./scratch.ts";
import { createSeccompCompiler } from "./seccomp.ts";
import { LEAST_MEMORY_MIB, type ShapeDefaults } from "./shape.ts";
import { buildStandby, destroyStandby, isWaiting, type Standby, type StandbyRequest } from "./standby/build.ts";
import { Standbys } from "./standby/pool.ts";
import { readStats, readUsage } from "./stats.ts";
import { stopContainer } from "./stop.ts";
import { buildTemplate } from "./template/build.ts";
import { Templates } from "./template/templates.ts";
import { createVolumeSync } from "./volume-sync.ts";

export interface MicrovmDriverOptions {
  readonly paths: Paths;
  readonly images: ImageStore;
  readonly network: PodNetwork;
  readonly log: Logger;
  readonly clock: Clock;
  /** Default: qemu-system-x86_64 in PATH. */
  readonly qemu?: string;
  /** What VMs are like unless their pods say otherwise. Default: 128 MiB, one CPU, whatever works here. */
  readonly defaults?: VmDefaults;
  /** Templates that are built at the start, by the shape of their VMs. */
  readonly warm?: readonly ShapeDefaults[];
  /** How many templates are kept, and what they may take together. */
  readonly templates?: { readonly keep: number; readonly maxBytes: number };
  /** How many VMs wait for pods, one per shape. Default 0. */
  readonly standby?: { readonly keep: number };
  /** Where kernel and initramfs are kept. Default: <lib>/microvm. */
  readonly bootCache?: string;
  /** How long a guest may take to boot, in ms. Default 30,000. */
  readonly bootTimeoutMs?: number;
  /** What the containers of a pod may write in all, in bytes. Default 8 GiB. */
  readonly scratchBytes?: number;
}

const BOOT_TIMEOUT_MS = 30_000;
/** What starts together comes within this time, and has the processors for itself. */
const STANDBY_QUIET_MS = 1000;
const TEMPLATES = { keep: 4, maxBytes: 2 ** 30 };
const DEFAULTS: VmDefaults = { memoryMiB: LEAST_MEMORY_MIB, vcpus: 1, machine: "auto", accelerator: "auto" };
/** What is tried in order to find out whether KVM works. */
const TRIAL: Decision = { accelerator: "kvm", why: "a trial" };

/** The driver for `runtimeClassName: microvm`: one QEMU per pod, with a kernel of its own and our agent as process 1. */
export function createMicrovmDriver(options: MicrovmDriverOptions): SandboxDriver {
  const { paths, images, network, log, clock } = options;
  const dirs = { ...driverDirs(paths), ...(options.bootCache === undefined ? {} : { boot: options.bootCache }) };
  const records = createRecords();
  const machines = createMachines(dirs, records, log, clock, (id, why) => {
    endVm(ctx, id, why).catch((error: unknown) => log.warn({ sandbox: id, reason: messageOf(error) }, "cannot end it"));
  });
  const volumes = createVolumeSync();
  const bootTimeoutMs = options.bootTimeoutMs ?? BOOT_TIMEOUT_MS;
  const warm = options.warm ?? [];
  const { keep, maxBytes } = options.templates ?? TEMPLATES;
  const templates = new Templates({
    directory: dirs.templates,
    keep: keep === 0 ? 0 : Math.max(keep, warm.length),
    maxBytes,
    log,
    build: async (directory, template, { plan, qemu }, signal) => {
      const options = { qemu, jailer: plan.boot.jailer, vm: vmArguments(ctx, plan), directory, template };
      const empty = await emptyScratch(dirs.scratch, ctx.scratchBytes, signal);
      await buildTemplate({ ...options, emptyScratch: empty, timeoutMs: bootTimeoutMs, signal });
    },
  });
  const closing = new AbortController();
  const ensureFiles = (own: OwnFiles) => ensureBootFiles({ cacheDir: dirs.boot, signal: closing.signal }, own);
  const known = memoised(() => ensureFiles({}));
  /** A daemon of another version may have removed what it does not use. */
  const ourFiles = async () => {
    const files = await known();
    return (await exists(files.initramfs)) ? files : await ensureFiles({});
  };
  const ports: PlanPorts = {
    defaults: options.defaults ?? DEFAULTS,
    // Files of the user's may be others the next time.
    bootFiles: (own) => (own.kernel === undefined && own.initramfs === undefined ? ourFiles() : ensureFiles(own)),
    detect: memoised(() =>
      detectAccelerator({
        cacheFile: acceleratorFile(paths),
        bootId: ctx.bootId,
        trial: async () => kvmTrial(ctx, await planFor(ports, { resources: {} }, TRIAL), closing.signal),
      }),
    ),
  };
  const standbys = new Standbys<StandbyRequest, Standby>({
    keep: keep === 0 ? 0 : (options.standby?.keep ?? 0),
    quietMs: STANDBY_QUIET_MS,
    log,
    build: (request, signal) => ctx.gate.enter(signal, () => buildStandby(ctx, request, signal)),
    destroy: (vm) => destroyStandby(ctx, vm),
    isAlive: isWaiting,
  });
  const ctx: Context = {
    ...{ paths, dirs, images, network, log, clock, records, machines, volumes, standbys },
    cgroups: detectCgroups(),
    bootId: bootId(),
    qemu: () => findQemu(options.qemu),
    plan: async (asked, signal) => await abortable(planVm(ports, asked), signal),
    template: async (facts, signal) => await abortable(templates.get(facts), signal),
    discardTemplate: (template) => templates.discard(template),
    emptyImage: memoised(() => makeEmptyImage(dirs.emptyImage, closing.signal)),
    compileSeccomp: createSeccompCompiler(join(paths.run, "seccomp"), log),
    bootTimeoutMs,
    scratchBytes: options.scratchBytes ?? SCRATCH_BYTES,
    lock: keyedLock(),
    gate: createGate(),
  };
  /** One after the other, and beside everything else: whoever needs one sooner builds it himself. */
  const warmUp = async (): Promise<void> => {
    try {
      for (const shape of warm) {
        const plan = await planVm({ ...ports, defaults: { ...ports.defaults, ...shape } }, { resources: {} });
        await templates.get(templateFacts(ctx, plan));
      }
    } catch (error) {
      if (!closing.signal.aborted) log.warn({ reason: messageOf(error) }, "no templates of micro-VMs ahead of need");
    }
  };
  let warming: Promise<void> = Promise.resolve();
  let started = false; // one that only looks, as the CLI does, takes nothing away
  const sandboxRecord = (id: string) => records.sandbox(sandboxFiles(dirs, id).record).catch(() => undefined);

  return {
    runtimeClass: "microvm",

    async start(signal) {
      await makeDirectory(dirname(dirs.emptyDisk));
      await writeFile(dirs.emptyDisk, "", { mode: 0o444 });
      await truncate(dirs.emptyDisk, IMAGE_FILE_BYTES);
      await privateBases([dirs.sandboxes], { mode: "0711" }, signal);
      started = true;
      warming = warmUp();
    },

    async close() {
      machines.close();
      closing.abort();
      await standbys.close();
      await Promise.all([templates.close(), warming]);
      if (!started) return;
      started = false;
      if ((await namesIn(dirs.sandboxes)).length === 0) await templates.clear();
      await releaseBases([dirs.sandboxes]);
      removeEmptyCgroup(ctx.cgroups, dirs.cgroup);
    },

    async runSandbox(config, signal) {
      assertValidIds(config.id);
      if (signal.aborted) throw new GantryError("cancelled", "running the sandbox was cancelled", { kind: "system" });
      const run = () =>
        runSandbox(
          ctx,
          config,
          (sandbox, first, configured) => beginContainers(ctx, sandbox, first, configured, signal),
          signal,
        );
      return await standbys.during(() => ctx.lock.run(config.id, signal, () => ctx.gate.enter(signal, run)));
    },

    async stopSandbox(id, signal) {
      assertValidIds(id);
      const kill = { graceMs: 0, stopSignal: "SIGKILL" };
      for (const name of await namesIn(sandboxFiles(dirs, id).containers)) {
        // A VM that does not answer is powered off all the same.
        if (!name.startsWith(".")) await stopContainer(ctx, id, name, kill, signal).catch(ignoreUnlessAborted(signal));
      }
      await ctx.lock.run(id, signal, async () => {
        if ((await sandboxRecord(id)) === undefined) return;
        await powerOff(ctx, id);
        await network.detach(id, signal);
      });
    },

    async removeSandbox(id, signal) {
      assertValidIds(id);
      await ctx.lock.run(id, signal, () => dismantleSandbox(ctx, id, signal));
    },

    async createContainer(sandboxId, config, signal) {
      assertValidIds(sandboxId, config.id);
      const create = () => createContainer(ctx, sandboxId, config, signal);
      await ctx.lock.run(sandboxId, signal, () => ctx.gate.enter(signal, create));
    },

    async startContainer(sandboxId, containerId, signal) {
      assertValidIds(sandboxId, containerId);
      await ctx.lock.run(sandboxId, signal, () => startContainer(ctx, sandboxId, containerId, signal));
    },

    async stopContainer(sandboxId, containerId, stop, signal) {
      assertValidIds(sandboxId, containerId);
      await stopContainer(ctx, sandboxId, containerId, stop, signal);
    },

    async removeContainer(sandboxId, containerId, signal) {
      assertValidIds(sandboxId, containerId);
      await ctx.lock.run(sandboxId, signal, async () =>
        dismantleContainer(ctx, await sandboxRecord(sandboxId), sandboxId, containerId, signal),
      );
    },

    async exec(sandboxId, containerId, request, signal) {
      assertValidIds(sandboxId, containerId);
      return await execInContainer(ctx, sandboxId, containerId, request, signal);
    },

    async attach(sandboxId, containerId, request, signal) {
      assertValidIds(sandboxId, containerId);
      return await attachToContainer(ctx, sandboxId, containerId, request, signal);
    },

    async forwardPort(sandboxId, port, signal) {
      assertValidIds(sandboxId);
      const record = await sandboxRecord(sandboxId);
      if (!record) throw new GantryError("not-found", `there is no sandbox ${sandboxId}`, { kind: "system" });
      if (!isRunning(ctx, record)) throw sandboxNotRunning(sandboxId);
      return await connectInGuest(await machines.get(sandboxId).guest.link(signal), port, signal);
    },

    async reopenLog(sandboxId, containerId) {
      assertValidIds(sandboxId, containerId);
      const files = containerFiles(dirs, sandboxId, containerId);
      if ((await records.container(files.record)) === undefined) throw noSuchContainer(sandboxId, containerId);
      await ctx.lock.run(sandboxId, undefined, () => reopenLog(ctx, sandboxId, containerId));
    },

    async stats(sandboxId, containerId) {
      assertValidIds(sandboxId, containerId);
      return await readStats(ctx, sandboxId, containerId);
    },

    async podStats(sandboxId) {
      assertValidIds(sandboxId);
      const record = await sandboxRecord(sandboxId);
      if (!record || !isRunning(ctx, record)) throw new GantryError("not-found", `sandbox ${sandboxId} is not running`);
      return readCgroup(ctx.cgroups, cgroupOf(dirs, record), clock.now());
    },

    async networkStats(sandboxId) {
      assertValidIds(sandboxId);
      const record = await sandboxRecord(sandboxId);
      if (!record || !isRunning(ctx, record)) return [];
      // The tap is the machine's end of the pod's interface: the same packets once more, the other way round.
      const inside = processesIn(ctx.cgroups, cgroupOf(dirs, record));
      return interfacesIn(sandboxFiles(dirs, sandboxId).net, inside, new RegExp(`^(?!${TAP}$)`));
    },

    async diskUsage(sandboxId, unit) {
      assertValidIds(sandboxId);
      return await readUsage(ctx, sandboxId, unit);
    },

    async list(wanted = () => true) {
      const found = await listSandboxes(ctx, wanted);
      for (const { id, state } of found) {
        const record = started && state === "ready" ? await sandboxRecord(id) : undefined;
        if (record) volumes.check(ctx, record);
      }
      return found;
    },
    watch: (listener) => machines.watch((sandboxId) => listener({ sandboxId })),
    collectGarbage: (signal) => ctx.gate.alone(signal, () => collectGarbage(ctx, signal)),
  };
}

/** Made anew by every daemon. @returns its path. @throws GantryError as `makeErofs` does */
async function makeEmptyImage(path: string, signal: AbortSignal): Promise<string> {
  const tree = `${path}.tree`;
  await mkdir(tree, { recursive: true, mode: 0o755 });
  await makeErofs(tree, `${path}.new`, `sha256:${"0".repeat(64)}`, signal);
  await rename(`${path}.new`, path);
  await rmdir(tree);
  return path;
}

/** Runs `work` once, whoever asks; a failure is tried again by the next. */
function memoised<T>(work: () => Promise<T>): () => Promise<T> {
  let pending: Promise<T> | undefined;
  return () => {
    pending ??= work().catch((error: unknown) => {
      pending = undefined;
      throw error;
    });
    return pending;
  };
}

function ignoreUnlessAborted(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (signal.aborted) throw error;
  };
}
