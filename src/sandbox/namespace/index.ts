import type { ImageStore } from "../../image/contract.ts";
import type { PodNetwork } from "../../network/contract.ts";
import type { Clock } from "../../system/clock.ts";
import { diskUsage } from "../../system/disk-usage.ts";
import { GantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import type { Paths } from "../../system/paths.ts";
import { processesIn, removeEmptyCgroup } from "../cgroup/cgroup.ts";
import { detectCgroups } from "../cgroup/host.ts";
import { readStats } from "../cgroup/stats.ts";
import type { SandboxDriver } from "../driver.ts";
import { assertValidIds } from "../ids.ts";
import { interfacesIn } from "../network-stats.ts";
import { attachToContainer } from "./attach.ts";
import { beginContainers, createContainer, noSuchContainer, startContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { containerFiles, driverDirs, podCgroup, sandboxFiles } from "./dirs.ts";
import { execInContainer } from "./exec.ts";
import { createExitWatcher } from "./exits.ts";
import { makeDirectory, namesIn } from "./files.ts";
import { createFolders } from "./folders.ts";
import { collectGarbage } from "./garbage.ts";
import { hostFacts } from "./host.ts";
import { listSandboxes, observeContainer } from "./list.ts";
import { createGate, keyedLock } from "./locks.ts";
import { createMender } from "./mend.ts";
import { privateBases, releaseBases } from "./pins.ts";
import { connectInSandbox } from "./port-forward.ts";
import { bootId } from "./proc.ts";
import { createRecords } from "./records.ts";
import { dismantleContainer, dismantlePause, dismantleSandbox } from "./remove.ts";
import { reopenLog } from "./reopen.ts";
import { createRuntimeChooser, probeRuntimes as probe, type RuntimeFacts } from "./runtime.ts";
import { runSandbox } from "./sandbox.ts";
import { createSeccompCache } from "./seccomp-cache.ts";
import { stopContainer } from "./stop.ts";
import { FIRST_HOST_ID } from "./userns.ts";

export type { RuntimeFacts } from "./runtime.ts";

export interface NamespaceDriverOptions {
  readonly paths: Paths;
  readonly images: ImageStore;
  readonly network: PodNetwork;
  readonly log: Logger;
  readonly clock: Clock;
  /** The OCI runtime: a name in PATH or an absolute path. Default: crun where it works, else runc. */
  readonly runtime?: string;
  /** First host id for pods with hostUsers: false; each takes 65,536. Default 1,048,576. */
  readonly firstHostId?: number;
}

/** What `gantry doctor` shows of the OCI runtimes here: each is tried with a container of its own. */
export function probeRuntimes(paths: Paths, signal: AbortSignal): Promise<RuntimeFacts[]> {
  return probe({ dirs: driverDirs(paths) }, signal);
}

/** The driver for `runtimeClassName: namespace`: Linux namespaces, an OCI runtime, and conmon as the monitor. */
export function createNamespaceDriver(options: NamespaceDriverOptions): SandboxDriver {
  const { paths, images, network, log, clock, runtime } = options;
  const dirs = driverDirs(paths);
  const exits = createExitWatcher(dirs);
  const reserved = new Set<number>();
  const said = new Set<string>();
  const ctx: Context = {
    dirs,
    images,
    network,
    log,
    clock,
    records: createRecords(),
    folders: createFolders(),
    runtimes: createRuntimeChooser(dirs, runtime === undefined ? undefined : [runtime]),
    seccomp: createSeccompCache(dirs),
    cgroups: detectCgroups(),
    host: hostFacts(),
    bootId: bootId(),
    lock: keyedLock(),
    gate: createGate(),
    owners: new Map(),
    monitors: new Map(),
    firstHostId: options.firstHostId ?? FIRST_HOST_ID,
    warnOnce: (message) => {
      if (said.has(message)) return;
      said.add(message);
      log.warn(message);
    },
  };
  const bases = [dirs.sandboxes, dirs.runtimes] as const; // crun keeps a copy of each container's config.json
  let started = false; // one that only looks, as the CLI does, takes nothing away
  const sandboxRecord = (id: string) => ctx.records.sandbox(sandboxFiles(dirs, id).record).catch(() => undefined);

  return {
    runtimeClass: "namespace",

    async start(signal) {
      await Promise.all([dirs.exits, dirs.layers].map((path) => makeDirectory(path)));
      // An app can make a setuid program of its termination message: nobody else is to get there.
      await privateBases(bases, { mode: "0700", plain: true }, signal);
      await ctx.runtimes.choose(undefined, signal);
      exits.start();
      started = true;
    },

    async close() {
      exits.stop();
      if (!started) return;
      started = false;
      await releaseBases(bases);
      if ((await namesIn(dirs.sandboxes)).length > 0) return;
      removeEmptyCgroup(ctx.cgroups, `${dirs.cgroup}/conmon`);
      removeEmptyCgroup(ctx.cgroups, dirs.cgroup);
    },

    async runSandbox(config, signal) {
      assertValidIds(config.id);
      const run = () =>
        runSandbox(ctx, reserved, config, (sandbox, first) => beginContainers(ctx, sandbox, first, signal), signal);
      return await ctx.lock.run(config.id, signal, () => ctx.gate.enter(signal, run));
    },

    async stopSandbox(id, signal) {
      assertValidIds(id);
      const files = sandboxFiles(dirs, id);
      const kill = { graceMs: 0, stopSignal: "SIGKILL" };
      for (const name of await namesIn(files.containers)) {
        if (!name.startsWith(".")) await stopContainer(ctx, exits, id, name, kill, signal);
      }
      await ctx.lock.run(id, signal, async () => {
        const record = await sandboxRecord(id);
        if (!record) return;
        await ctx.records.save(files.record, { ...record, phase: "stopped" });
        await dismantlePause(ctx, record);
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
      await stopContainer(ctx, exits, sandboxId, containerId, stop, signal);
    },

    async removeContainer(sandboxId, containerId, signal) {
      assertValidIds(sandboxId, containerId);
      await ctx.lock.run(sandboxId, signal, async () =>
        dismantleContainer(ctx, sandboxId, containerId, await sandboxRecord(sandboxId)),
      );
    },

    async exec(sandboxId, containerId, request, signal) {
      assertValidIds(sandboxId, containerId);
      return await execInContainer(ctx, sandboxId, containerId, request, signal);
    },

    async attach(sandboxId, containerId, request, signal) {
      assertValidIds(sandboxId, containerId);
      return await attachToContainer(ctx, exits, sandboxId, containerId, request, signal);
    },

    async forwardPort(sandboxId, port, signal) {
      assertValidIds(sandboxId);
      return await connectInSandbox(ctx, sandboxId, port, signal);
    },

    async reopenLog(sandboxId, containerId) {
      assertValidIds(sandboxId, containerId);
      const files = containerFiles(dirs, sandboxId, containerId);
      if ((await ctx.records.container(files.record)) === undefined) throw noSuchContainer(sandboxId, containerId);
      await reopenLog(files);
    },

    async stats(sandboxId, containerId) {
      assertValidIds(sandboxId, containerId);
      const record = await sandboxRecord(sandboxId);
      const container = record ? await observeContainer(ctx, record, containerId) : undefined;
      if (!record || !container) throw noSuchContainer(sandboxId, containerId);
      if (container.state !== "running") throw new GantryError("not-found", `container ${containerId} is not running`);
      return readStats(ctx.cgroups, `${podCgroup(dirs, record.config.pod.uid)}/${containerId}`, clock.now());
    },

    async podStats(sandboxId) {
      assertValidIds(sandboxId);
      const record = await sandboxRecord(sandboxId);
      if (record?.phase !== "ready") throw new GantryError("not-found", `sandbox ${sandboxId} is not running`);
      return readStats(ctx.cgroups, podCgroup(dirs, record.config.pod.uid), clock.now());
    },

    async networkStats(sandboxId) {
      assertValidIds(sandboxId);
      const record = await sandboxRecord(sandboxId);
      if (record?.phase !== "ready" || record.config.hostNetwork) return [];
      const inside = processesIn(ctx.cgroups, podCgroup(dirs, record.config.pod.uid));
      return interfacesIn(sandboxFiles(dirs, sandboxId).net, inside, /./);
    },

    async diskUsage(sandboxId, unit) {
      assertValidIds(sandboxId);
      const names = (await namesIn(sandboxFiles(dirs, sandboxId).containers)).filter((name) => !name.startsWith("."));
      const layers = new Map(names.map((name) => [containerFiles(dirs, sandboxId, name).layer, name]));
      const used = await diskUsage([...layers.keys()], unit);
      const containers = new Map([...used].map(([layer, amount]) => [layers.get(layer) ?? "", amount]));
      return { volumes: new Map(), containers }; // the volumes are all on the host
    },

    list: (wanted = () => true) => listSandboxes(ctx, wanted),

    mend: createMender(ctx),

    watch(listener) {
      return exits.subscribe((containerId) => {
        const sandboxId = ctx.owners.get(containerId);
        if (sandboxId !== undefined) listener({ sandboxId });
      });
    },

    collectGarbage: (signal) => ctx.gate.alone(signal, () => collectGarbage(ctx, signal)),
  };
}
