/** A supervisor over the in-memory driver, a simulated clock and a real store; and a hand on all of them. */
import { mkdtempSync, rmSync } from "node:fs";
import { stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, vi } from "vitest";
import { hashedPod } from "../../src/desired.ts";
import type { Image, ImageStore, PullOptions } from "../../src/image/contract.ts";
import type { ConfigMap, Pod, Secret } from "../../src/manifest/index.ts";
import { configMap, pod as podSchema, secret } from "../../src/manifest/schema/index.ts";
import type { ContainerState, DesiredPod, PodChange, PodState, PodSupervisor } from "../../src/pod/index.ts";
import { createPodSupervisor } from "../../src/pod/index.ts";
import type { ContainerConfig, ObservedSandbox, SandboxDriver } from "../../src/sandbox/driver.ts";
import {
  type AppBehaviour,
  createMemoryDriver,
  createMemoryWorld,
  type MemoryDriver,
} from "../../src/sandbox/memory/index.ts";
import { observeSandbox } from "../../src/sandbox/memory/world.ts";
import { openStore } from "../../src/store/index.ts";
import { GantryError } from "../../src/system/errors.ts";
import { silentLogger } from "../../src/system/log.ts";
import type { ConfigLookup, VolumeManager } from "../../src/volume/contract.ts";
import { ManualClock } from "../support/manual-clock.ts";
import { FakeProber } from "./fake-prober.ts";

export const UID = "0123456789ab-cdef-0123-456789abcdef";
const NODE = { name: "node-1", ip: "192.0.2.1", cpus: 2, memoryBytes: 4 * 2 ** 30 };

export interface Told {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

export class Harness {
  readonly clock = new ManualClock();
  readonly world = createMemoryWorld();
  readonly store = openStore(":memory:", () => this.clock.now()).store;
  readonly events: Told[] = [];
  readonly changes: PodChange[] = [];
  readonly images = new Map<string, Partial<Image["config"]>>([["app", {}]]);
  /** Names, in the order in which they were pulled. */
  readonly pulls: string[] = [];
  pulling: (name: string, options: PullOptions) => Promise<void> = async () => {};
  readonly configMaps = new Map<string, ConfigMap>();
  readonly secrets = new Map<string, Secret>();
  readonly logs = mkdtempSync(join(tmpdir(), "gantry-pod-"));
  readonly volumesOf = new Set<string>();
  readonly prober = new FakeProber(this.clock);
  volumeUsage: Record<string, number> = {};
  /** Why a pod may not start. */
  pressure: (pod: Pod) => string | undefined = () => undefined;
  onEvicted: () => void = () => {};
  volumeErrors: Error[] = [];
  behave: (config: ContainerConfig) => AppBehaviour = () => ({});
  driver: MemoryDriver;
  supervisor: PodSupervisor;
  #reached: { alive: boolean };

  constructor() {
    this.driver = this.#newDriver();
    this.#reached = { alive: true };
    this.supervisor = this.#newSupervisor();
  }

  #newDriver(): MemoryDriver {
    const driver = createMemoryDriver({
      clock: this.clock,
      world: this.world,
      behave: (config) => this.behave(config),
    });
    driver.watch(() => this.look());
    return driver;
  }

  #newSupervisor(): PodSupervisor {
    const reached = this.#reached;
    const driver = mortal(this.driver, reached);
    const supervisor = createPodSupervisor(
      {
        driverFor: () => driver,
        images: this.#imageStore(),
        volumes: this.#volumes(),
        prober: this.prober,
        store: mortalStore(this.store, reached),
        clock: {
          now: () => this.clock.now(),
          setTimeout: (fn, ms) => this.clock.setTimeout(() => reached.alive && fn(), ms),
          clearTimeout: (timer) => this.clock.clearTimeout(timer),
          ofHost: (ms) => ms,
        },
        log: silentLogger(),
        node: NODE,
        confiner: { find: async () => ({}) },
        podLogs: this.logs,
        configMap: (namespace, name) => this.configMaps.get(`${namespace}/${name}`),
        secret: (namespace, name) => this.secrets.get(`${namespace}/${name}`),
        claim: () => undefined,
        nodePressure: (pod) => this.pressure(pod),
        event: (_pod, _uid, type, reason, message) => {
          if (!reached.alive) return;
          this.events.push({ type, reason, message });
          if (reason === "Evicted") this.onEvicted();
        },
      },
      { concurrency: 4 },
    );
    supervisor.subscribe((change) => reached.alive && this.changes.push(change));
    return supervisor;
  }

  #imageStore(): ImageStore {
    const image = (name: string, config: Partial<Image["config"]>): Image => ({
      digest: `sha256:${name}`,
      names: [name],
      sizeBytes: 1,
      createdAt: 0,
      architecture: "amd64",
      origins: [],
      lastUsedAt: 0,
      config: { entrypoint: ["/app"], cmd: [], env: [], workingDir: "", user: "", stopSignal: undefined, ...config },
    });
    return {
      resolve: async (name) => {
        const config = this.images.get(name);
        return config && image(name, config);
      },
      list: async () => [...this.images].map(([name, config]) => image(name, config)),
      import: () => Promise.reject(new Error("not here")),
      pull: async (name, options) => {
        this.pulls.push(name);
        await this.pulling(name, options);
        const config = this.images.get(name);
        if (config !== undefined) return image(name, config);
        throw new GantryError("image-missing", `no registry has ${name}`, { hint: "import it" });
      },
      trusted: async () => undefined,
      usage: async () => ({ images: [], disk: { totalBytes: 0, availableBytes: 0 } }),
      touch: async () => {},
      sweep: async () => 0,
      remove: async (name) => void this.images.delete(name),
      rootfs: async (digest) => `/images/${digest}`,
      rootFile: async (digest) => `/images/${digest}.erofs`,
      settled: async () => {},
      unmountUnused: async () => {},
      importAll: () => Promise.reject(new Error("not here")),
      export: () => {
        throw new Error("not here");
      },
      verify: () => {
        throw new Error("not here");
      },
      close: async () => {},
    };
  }

  #volumes(): VolumeManager {
    return {
      claims: {
        list: async () => [],
        room: async () => 0,
        reconcile: async () => ({ notes: [], lookAt: undefined }),
        remove: async () => {},
      },
      prepare: async (pod, uid, lookup) => {
        const error = this.volumeErrors.shift();
        if (error !== undefined) throw error;
        for (const volume of pod.spec.volumes ?? []) requireConfig(volume.configMap?.name, lookup);
        this.volumesOf.add(uid);
        return [];
      },
      refresh: async () => {},
      remove: async (uid) => void this.volumesOf.delete(uid),
      list: async () => [...this.volumesOf],
      usage: async () => this.volumeUsage,
    };
  }

  /** What the reconciler does after a hint: look, and tell. */
  look(): void {
    const seen = this.world.sandboxes;
    if (seen.size === 0 && this.supervisor.list().length === 0) return;
    this.driver.list().then(
      (all) => {
        for (const { uid } of this.supervisor.list())
          this.supervisor.observe(
            uid,
            all.filter((sandbox) => sandbox.pod.uid === uid),
          );
      },
      () => {},
    );
  }

  async observed(uid = UID): Promise<readonly ObservedSandbox[]> {
    return [...this.world.sandboxes.values()]
      .map((sandbox) => observeSandbox("memory", sandbox))
      .filter(({ pod }) => pod.uid === uid);
  }

  async ensure(desired: DesiredPod, uid = UID): Promise<void> {
    this.supervisor.ensure(desired, uid, await this.observed(uid));
    await this.settle();
  }

  /** Lets everything that can happen without time passing happen. */
  async settle(): Promise<void> {
    for (let i = 0; i < 8; i++) await this.#round(8);
  }

  /** A few turns of the event loop, and as much time as files take on this machine now: some steps read one. */
  async #round(turns: number): Promise<void> {
    for (let i = 0; i < turns; i++) await new Promise<void>((resolve) => setImmediate(resolve));
    // One look for each thread that may be at work on an earlier one.
    await Promise.all(Array.from({ length: 4 }, () => stat(this.logs)));
  }

  /** Time passes in small steps, and whatever it brings about happens in between. */
  async pass(ms: number, step = Math.max(500, ms / 40)): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      this.clock.advance(Math.min(step, left));
      for (let i = 0; i < 3; i++) await this.#round(8);
    }
  }

  /** As if the daemon was killed at this instant, and started again. */
  async crash(desired: DesiredPod | undefined, uid = UID): Promise<void> {
    this.#reached.alive = false;
    this.#reached = { alive: true };
    this.driver = this.#newDriver();
    this.supervisor = this.#newSupervisor();
    if (desired !== undefined) this.supervisor.ensure(desired, uid, await this.observed(uid));
    await this.settle();
  }

  /** Waits for the pod to be removed: its log files are real ones. */
  async gone(uid = UID): Promise<void> {
    await vi.waitFor(() => expect(this.get(uid)).toBeUndefined(), { timeout: 10_000, interval: 5 });
  }

  get(uid = UID): PodState | undefined {
    return this.supervisor.get(uid);
  }

  pod(uid = UID): PodState {
    const state = this.supervisor.get(uid);
    if (state === undefined) throw new Error(`there is no pod ${uid}`);
    return state;
  }

  container(name: string, uid = UID): ContainerState {
    const found = this.pod(uid).containers.find((container) => container.name === name);
    if (found === undefined) throw new Error(`there is no container ${name}`);
    return found;
  }

  /** Id of the run of that name that lives now, in any sandbox. */
  live(name: string): string {
    const id = this.liveIds(name)[0];
    if (id === undefined) throw new Error(`no ${name} runs`);
    return id;
  }

  liveIds(name: string): string[] {
    return [...this.world.sandboxes.values()].flatMap(({ containers }) =>
      [...containers.values()]
        .filter(({ config, state }) => config.name === name && state === "running")
        .map(({ config }) => config.id),
    );
  }

  async exit(name: string, code: number, options: { oom?: boolean } = {}): Promise<void> {
    this.driver.exit(this.live(name), code, options);
    await this.settle();
  }

  reasons(): string[] {
    return this.events.map(({ reason }) => reason);
  }

  async close(): Promise<void> {
    await this.supervisor.close();
    this.store.close();
    rmSync(this.logs, { recursive: true, force: true });
  }
}

function requireConfig(name: string | undefined, lookup: ConfigLookup): void {
  if (name !== undefined && lookup.configMap(name) === undefined) {
    throw new GantryError("config-missing", `configmap "${name}" not found`, { hint: "Add it." });
  }
}

/** A driver whose daemon can be killed: from then on no call gets through, and none that is under way returns. */
function mortal(driver: MemoryDriver, reached: { readonly alive: boolean }): SandboxDriver {
  const never = new Promise<never>(() => {});
  return new Proxy<SandboxDriver>(driver, {
    get(target, property, receiver) {
      const value: unknown = Reflect.get(target, property, receiver);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (!reached.alive) return never;
        const result: unknown = Reflect.apply(value, target, args);
        if (!(result instanceof Promise)) return result;
        const alive = <T>(outcome: T): T | Promise<never> => (reached.alive ? outcome : never);
        return result.then(alive, (error: unknown) => (reached.alive ? Promise.reject(error) : never));
      };
    },
  });
}

/** A dead daemon writes nothing. */
function mortalStore(store: Harness["store"], reached: { readonly alive: boolean }): Harness["store"] {
  return {
    ...store,
    pods: {
      ...store.pods,
      put: (facts) => reached.alive && store.pods.put(facts),
      remove: (uid) => reached.alive && store.pods.remove(uid),
    },
    containers: {
      ...store.containers,
      put: (facts) => reached.alive && store.containers.put(facts),
      remove: (uid, name) => reached.alive && store.containers.remove(uid, name),
    },
  };
}

/** A desired pod from the fields of its spec; one container "app" of image "app" when none are given. */
export function desiredPod(spec: object = {}, metadata: object = {}): DesiredPod {
  const parsed = podSchema.parse({
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name: "web", ...metadata },
    spec: { containers: [{ name: "app", image: "app" }], ...spec },
  });
  return hashedPod(parsed, { origin: "web.yaml:1", runtimeClass: "memory", runtimeHandler: undefined, warnings: [] });
}

export function configMapOf(name: string, data: Record<string, string>): ConfigMap {
  return configMap.parse({ apiVersion: "v1", kind: "ConfigMap", metadata: { name }, data });
}

export function secretOf(name: string, data: Record<string, string>): Secret {
  const encoded = Object.fromEntries(
    Object.entries(data).map(([key, value]) => [key, Buffer.from(value).toString("base64")]),
  );
  return secret.parse({ apiVersion: "v1", kind: "Secret", metadata: { name }, data: encoded });
}
