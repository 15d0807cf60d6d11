import { PassThrough } from "node:stream";
import type { Clock, TimerHandle } from "../../system/clock.ts";
import { GantryError } from "../../system/errors.ts";
import type { ContainerConfig, ObservationHint, SandboxDriver } from "../driver.ts";
import { assertValidIds } from "../ids.ts";
import { nothingListens, sandboxNotRunning } from "../port-errors.ts";
import { signalNumber } from "../signals.ts";
import { abortable, cancelled } from "./abort.ts";
import { attachInMemory } from "./attach.ts";
import { execInMemory } from "./exec.ts";
import {
  type AppBehaviour,
  createMemoryWorld,
  endApp,
  lose,
  type MemoryContainer,
  type MemorySandbox,
  type MemoryWorld,
  observeSandbox,
} from "./world.ts";

export { type AppBehaviour, createMemoryWorld, type ExecOutcome, type MemoryWorld } from "./world.ts";

export type DriverMethod = Exclude<keyof SandboxDriver, "runtimeClass" | "watch" | "close">;

export interface MemoryDriverOptions {
  readonly clock: Clock;
  /** Default "memory". */
  readonly runtimeClass?: string;
  /** What outlives the driver; hand the same to a second one to play a restart. */
  readonly world?: MemoryWorld;
  /** How the app of a container behaves. Default: runs until it is stopped. */
  readonly behave?: (config: ContainerConfig) => AppBehaviour;
}

/** A driver that only pretends, with a hand on everything that can happen to a pod. Ids of containers are global. */
export interface MemoryDriver extends SandboxDriver {
  /** The app ends by itself with this code. */
  exit(containerId: string, code: number, options?: { readonly oom?: boolean }): void;
  /** The sandbox is gone without a trace, as if somebody removed it behind our back. */
  vanishSandbox(id: string): void;
  /** The sandbox is there but of no use, as after a reboot; its containers lose their exit codes. */
  breakSandbox(id: string): void;
  /** Something is wrong with it, or (undefined) no more. */
  troubleSandbox(id: string, problem: string | undefined): void;
  /** The container is lost together with its exit code. */
  loseContainer(containerId: string): void;
  /** The next call of `method` throws this, `times` times (default 1). */
  failNext(method: DriverMethod, error: Error, times?: number): void;
  /** Calls of `method` wait until the returned function is called (or they are aborted). */
  hold(method: DriverMethod): () => void;
  /** Every call so far, oldest first. */
  readonly calls: readonly { readonly method: DriverMethod; readonly args: readonly unknown[] }[];
}

/** @returns a driver that passes the same contract suite as the real ones. */
export function createMemoryDriver(options: MemoryDriverOptions): MemoryDriver {
  const { clock, runtimeClass = "memory", world = createMemoryWorld(), behave = () => ({}) } = options;
  const calls: { method: DriverMethod; args: readonly unknown[] }[] = [];
  const failures = new Map<DriverMethod, Error[]>();
  const holds = new Map<DriverMethod, Set<Promise<void>>>();
  const listeners = new Set<(hint: ObservationHint) => void>();

  const changed = (sandboxId: string): void => {
    for (const listener of listeners) queueMicrotask(() => listeners.has(listener) && listener({ sandboxId }));
  };

  /** What every call begins with: it is noted, held, aborted or failed as told. */
  async function enter(method: DriverMethod, args: readonly unknown[], signal?: AbortSignal): Promise<void> {
    calls.push({ method, args });
    for (const held of holds.get(method) ?? []) await abortable(held, signal);
    if (signal?.aborted) throw cancelled();
    const failure = failures.get(method)?.shift();
    if (failure) throw failure;
    await Promise.resolve();
  }

  const isScripted = (method: DriverMethod): boolean =>
    (failures.get(method)?.length ?? 0) > 0 || (holds.get(method)?.size ?? 0) > 0;

  function sandboxOf(id: string): MemorySandbox {
    const sandbox = world.sandboxes.get(id);
    if (!sandbox) throw new GantryError("not-found", `there is no sandbox ${id}`, { kind: "system" });
    return sandbox;
  }

  function containerOf(sandboxId: string, id: string): MemoryContainer {
    const container = sandboxOf(sandboxId).containers.get(id);
    if (!container) {
      throw new GantryError("not-found", `there is no container ${id} in sandbox ${sandboxId}`, { kind: "system" });
    }
    return container;
  }

  function end(sandboxId: string, container: MemoryContainer, code: number, oom = false): void {
    endApp(container, code, clock.now(), oom);
    changed(sandboxId);
  }

  function findContainer(containerId: string): { sandboxId: string; container: MemoryContainer } {
    for (const [sandboxId, sandbox] of world.sandboxes) {
      const container = sandbox.containers.get(containerId);
      if (container) return { sandboxId, container };
    }
    throw new GantryError("not-found", `there is no container ${containerId}`);
  }

  const create = (sandbox: MemorySandbox, config: ContainerConfig): void => {
    sandbox.containers.set(config.id, {
      config,
      behaviour: behave(config),
      createdAt: clock.now(),
      state: "created",
      pid: world.nextPid++,
      onExit: new Set(),
      clients: new Set(),
    });
  };
  const stopAll = (sandbox: MemorySandbox): void => {
    for (const container of sandbox.containers.values()) end(sandbox.config.id, container, 137);
    sandbox.state = "not-ready";
    changed(sandbox.config.id);
  };

  return {
    runtimeClass,
    calls,
    start: (signal) => enter("start", [], signal),
    close: async () => listeners.clear(),

    async runSandbox(config, signal) {
      await enter("runSandbox", [config], signal);
      assertValidIds(config.id);
      const existing = world.sandboxes.get(config.id);
      if (existing) {
        if (existing.state === "ready") return observeSandbox(runtimeClass, existing);
        throw new GantryError("conflict", `sandbox ${config.id} was stopped and cannot be run again`, {
          kind: "system",
          hint: "Remove it and make a new one with another id.",
        });
      }
      const n = world.nextAddress++;
      const address = `10.88.${Math.floor(n / 250) % 250}.${(n % 250) + 2}`;
      const sandbox: MemorySandbox = { config, createdAt: clock.now(), address, state: "ready", containers: new Map() };
      world.sandboxes.set(config.id, sandbox);
      // A failure or a hold that was asked for is kept for the explicit call.
      if (!isScripted("createContainer")) for (const first of config.begin ?? []) create(sandbox, first);
      changed(config.id);
      return observeSandbox(runtimeClass, sandbox);
    },

    async stopSandbox(id, signal) {
      await enter("stopSandbox", [id], signal);
      const sandbox = world.sandboxes.get(id);
      if (sandbox) stopAll(sandbox);
    },

    async removeSandbox(id, signal) {
      await enter("removeSandbox", [id], signal);
      const sandbox = world.sandboxes.get(id);
      if (!sandbox) return;
      stopAll(sandbox);
      world.sandboxes.delete(id);
    },

    async createContainer(sandboxId, config, signal) {
      await enter("createContainer", [sandboxId, config], signal);
      assertValidIds(sandboxId, config.id);
      const sandbox = sandboxOf(sandboxId);
      if (sandbox.state !== "ready") {
        throw new GantryError("conflict", `sandbox ${sandboxId} is not running`, { kind: "system" });
      }
      const existing = sandbox.containers.get(config.id);
      if (existing && existing.state !== "unknown") return;
      create(sandbox, config);
      changed(sandboxId);
    },

    async startContainer(sandboxId, containerId, signal) {
      await enter("startContainer", [sandboxId, containerId], signal);
      const container = containerOf(sandboxId, containerId);
      if (container.state !== "created") return;
      const { failsToStart, exitAfterMs, exitCode = 0 } = container.behaviour;
      if (failsToStart !== undefined) {
        throw new GantryError("runtime-failed", failsToStart, { details: { reason: "StartError" } });
      }
      container.state = "running";
      container.startedAt = clock.now();
      if (exitAfterMs !== undefined) {
        const timer = clock.setTimeout(() => end(sandboxId, container, exitCode), exitAfterMs);
        container.onExit.add(() => clock.clearTimeout(timer));
      }
      changed(sandboxId);
    },

    async stopContainer(sandboxId, containerId, stop, signal) {
      await enter("stopContainer", [sandboxId, containerId, stop], signal);
      const container = world.sandboxes.get(sandboxId)?.containers.get(containerId);
      if (container?.state === "created") end(sandboxId, container, 137);
      if (container?.state !== "running") return;
      const { promise: dead, resolve } = Promise.withResolvers<void>();
      container.onExit.add(resolve);
      const name = stop.stopSignal ?? "SIGTERM";
      const effect = container.behaviour.onSignal?.(name) ?? 128 + signalNumber(name);
      if (effect !== "ignore") end(sandboxId, container, effect);
      const timer: TimerHandle = clock.setTimeout(() => end(sandboxId, container, 137), stop.graceMs);
      try {
        await abortable(dead, signal);
      } finally {
        clock.clearTimeout(timer);
      }
    },

    async removeContainer(sandboxId, containerId, signal) {
      await enter("removeContainer", [sandboxId, containerId], signal);
      const sandbox = world.sandboxes.get(sandboxId);
      const container = sandbox?.containers.get(containerId);
      if (!sandbox || !container) return;
      endApp(container, 137, clock.now());
      sandbox.containers.delete(containerId);
      changed(sandboxId);
    },

    async exec(sandboxId, containerId, request, signal) {
      await enter("exec", [sandboxId, containerId, request], signal);
      const container = containerOf(sandboxId, containerId);
      if (container.state !== "running") throw notRunning(containerId);
      return execInMemory(container, request, signal);
    },

    async attach(sandboxId, containerId, request, signal) {
      await enter("attach", [sandboxId, containerId, request], signal);
      const container = containerOf(sandboxId, containerId);
      if (container.state !== "running") throw notRunning(containerId);
      return attachInMemory(container, request, signal, () => end(sandboxId, container, 0));
    },

    async forwardPort(sandboxId, port, signal) {
      await enter("forwardPort", [sandboxId, port], signal);
      const sandbox = sandboxOf(sandboxId);
      if (sandbox.state !== "ready") throw sandboxNotRunning(sandboxId);
      const apps = [...sandbox.containers.values()].filter(({ state }) => state === "running");
      if (!apps.some(({ behaviour }) => behaviour.echoesOnPort === port)) throw nothingListens(port);
      return new PassThrough();
    },

    async reopenLog(sandboxId, containerId) {
      await enter("reopenLog", [sandboxId, containerId]);
      containerOf(sandboxId, containerId);
    },

    async stats(sandboxId, containerId) {
      await enter("stats", [sandboxId, containerId]);
      const container = containerOf(sandboxId, containerId);
      if (container.state !== "running") throw new GantryError("not-found", `container ${containerId} is not running`);
      const ageMs = Math.max(0, clock.now() - (container.startedAt ?? clock.now()));
      return { timestamp: clock.now(), cpuUsageNs: ageMs * 1000, memoryBytes: 1_048_576, processes: 1 };
    },

    async podStats(sandboxId) {
      await enter("podStats", [sandboxId]);
      const sandbox = world.sandboxes.get(sandboxId);
      if (sandbox === undefined) throw new GantryError("not-found", `sandbox ${sandboxId} is not running`);
      return { timestamp: clock.now(), cpuUsageNs: 0, memoryBytes: 1_048_576, processes: 1 };
    },

    async networkStats(sandboxId) {
      await enter("networkStats", [sandboxId]);
      const sandbox = world.sandboxes.get(sandboxId);
      const none = { bytes: 0, packets: 0, errors: 0, dropped: 0 };
      const isUp = sandbox?.state === "ready" && !sandbox.config.hostNetwork;
      return isUp ? [{ name: "eth0", received: none, sent: none }] : [];
    },

    diskUsage: async () => ({ volumes: new Map(), containers: new Map() }),

    async list(wanted = () => true) {
      await enter("list", []);
      const sandboxes = [...world.sandboxes.values()].filter(({ config }) => wanted(config.id));
      return sandboxes.map((sandbox) => observeSandbox(runtimeClass, sandbox));
    },

    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },

    async collectGarbage(signal) {
      await enter("collectGarbage", [], signal);
      return [];
    },

    exit(containerId, code, { oom = false } = {}) {
      const { sandboxId, container } = findContainer(containerId);
      end(sandboxId, container, code, oom);
    },

    vanishSandbox(id) {
      const sandbox = world.sandboxes.get(id);
      if (!sandbox) return;
      stopAll(sandbox);
      world.sandboxes.delete(id);
    },

    breakSandbox(id) {
      const sandbox = sandboxOf(id);
      stopAll(sandbox);
      for (const container of sandbox.containers.values()) lose(container);
    },

    troubleSandbox(id, problem) {
      const sandbox = sandboxOf(id);
      delete sandbox.problem;
      if (problem !== undefined) sandbox.problem = problem;
      changed(id);
    },

    loseContainer(containerId) {
      const { sandboxId, container } = findContainer(containerId);
      endApp(container, 137, clock.now());
      lose(container);
      changed(sandboxId);
    },

    failNext(method, error, times = 1) {
      const queue = failures.get(method) ?? [];
      for (let i = 0; i < times; i++) queue.push(error);
      failures.set(method, queue);
    },

    hold(method) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const held = holds.get(method) ?? new Set();
      holds.set(method, held.add(promise));
      return () => {
        held.delete(promise);
        resolve();
      };
    },
  };
}

function notRunning(containerId: string): GantryError {
  return new GantryError("runtime-failed", `container ${containerId} is not running`, {
    details: { reason: "NotRunning" },
  });
}
