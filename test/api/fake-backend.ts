import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Duplex, PassThrough } from "node:stream";
import { setImmediate } from "node:timers/promises";
import { type ApiClient, createApiClient } from "../../src/api/client.ts";
import type {
  ApiBackend,
  FieldOwners,
  HealthCheck,
  LogTarget,
  NodeObject,
  ObjectWatchEvent,
  PodObject,
  PodWatchEvent,
  ProblemReport,
  ServedObject,
  WriteRequest,
  WriteResult,
} from "../../src/api/contract.ts";
import { createApiServer } from "../../src/api/server.ts";
import type { GcReport } from "../../src/gc/index.ts";
import type { Image, VerifyResult } from "../../src/image/contract.ts";
import type { PullStep } from "../../src/image/pull/steps.ts";
import { configMap, secret } from "../../src/manifest/schema/config.ts";
import { pod } from "../../src/manifest/schema/pod.ts";
import type { Metrics } from "../../src/metrics/meter.ts";
import type { PlanStep } from "../../src/plan.ts";
import type { AttachRequest, ExecRequest, ExecSession } from "../../src/sandbox/driver.ts";
import { validObject } from "../../src/source/index.ts";
import type { PodStatus } from "../../src/status.ts";
import type { PodEvent } from "../../src/store/contract.ts";
import type { Clock } from "../../src/system/clock.ts";
import { GantryError } from "../../src/system/errors.ts";
import { silentLogger } from "../../src/system/log.ts";
import type { VolumeEntry } from "../../src/volume/index.ts";

/** A daemon that has nothing but memory. */
export class FakeBackend implements ApiBackend {
  version = 100;
  objectVersion = 100;
  readonly objectList = new Map<string, ServedObject>();
  readonly objectListeners = new Set<(change: ObjectWatchEvent) => void>();
  readonly writes: WriteRequest[] = [];

  constructor() {
    const [settings, key] = [
      configMap.parse({ apiVersion: "v1", kind: "ConfigMap", metadata: { name: "settings" }, data: { a: "1" } }),
      secret.parse({ apiVersion: "v1", kind: "Secret", metadata: { name: "key" }, data: { a: "MQ==" } }),
    ];
    const { metadata, ...node } = this.node();
    this.putObject(settings);
    this.putObject(key);
    this.putObject({ ...node, metadata: { name: metadata.name } });
  }

  objects(): ServedObject[] {
    return [...this.objectList.values()];
  }

  watchObjects(listener: (change: ObjectWatchEvent) => void): () => void {
    this.objectListeners.add(listener);
    return () => this.objectListeners.delete(listener);
  }

  /** As the daemon does it: what is written is served, with defaults. */
  async writeObject(request: WriteRequest): Promise<WriteResult> {
    this.writes.push(request);
    const object = validObject(request.after);
    if (!request.dryRun) {
      if (object.kind === "Pod") this.put(object.metadata.name, object.metadata.labels ?? {});
      else this.putObject(object, request.owners);
    }
    return { object, file: "written.yaml" };
  }

  putObject(
    object: {
      readonly apiVersion: string;
      readonly kind: string;
      readonly metadata: { readonly name: string; readonly namespace?: string | undefined };
    },
    { lastApplied, managedFields }: FieldOwners = {},
  ): void {
    const { name, namespace } = object.metadata;
    const uid = `uid-${object.kind}-${namespace ?? ""}-${name}`;
    this.objectVersion += 1;
    const metadata = {
      ...object.metadata,
      ...{ name, uid, resourceVersion: String(this.objectVersion), creationTimestamp: "2026-01-01T00:00:00Z" },
      ...(managedFields !== undefined && { managedFields }),
      ...(lastApplied !== undefined && {
        annotations: { "kubectl.kubernetes.io/last-applied-configuration": lastApplied },
      }),
    };
    const type = this.objectList.has(uid) ? "MODIFIED" : "ADDED";
    const served = { ...object, metadata } as ServedObject;
    this.objectList.set(uid, served);
    for (const listener of this.objectListeners) listener({ type, object: served });
  }

  async editObject(): Promise<string> {
    return "web.yaml";
  }

  async deleteObject(kind: string, namespace: string, name: string): Promise<void> {
    const uid = `uid-${kind}-${namespace}-${name}`;
    const object = this.objectList.get(uid);
    if (object === undefined) throw new GantryError("not-found", `no ${kind} ${name}`);
    this.objectList.delete(uid);
    for (const listener of this.objectListeners) listener({ type: "DELETED", object });
  }

  async undoRollout(): Promise<{ revision: number; file: string }> {
    return { revision: 1, file: "web.yaml" };
  }

  readonly calls: string[] = [];
  readonly podList = new Map<string, PodObject>();
  readonly eventList: PodEvent[] = [];
  readonly podListeners = new Set<(change: PodWatchEvent) => void>();
  readonly eventListeners = new Set<(event: PodEvent) => void>();
  failure: GantryError | undefined;
  logPath = "/nowhere/0.log";
  logRuns = false;
  session: (request: ExecRequest, signal: AbortSignal) => Promise<ExecSession> = () =>
    Promise.reject(new Error("no exec"));
  /** Sends back what it gets. */
  connection: (port: number) => Promise<Duplex> = async () => new PassThrough();
  imported: Buffer[] = [];
  importFailure: GantryError | undefined;

  pods(): PodObject[] {
    if (this.failure !== undefined) throw this.failure;
    return [...this.podList.values()];
  }
  watchPods(listener: (change: PodWatchEvent) => void): () => void {
    this.podListeners.add(listener);
    return () => this.podListeners.delete(listener);
  }
  async volumes(): Promise<VolumeEntry[]> {
    return [];
  }
  async removeVolume(namespace: string, name: string): Promise<void> {
    this.calls.push(`removeVolume ${namespace}/${name}`);
  }
  node(): NodeObject {
    const metadata = { name: "host", uid: "n-1", creationTimestamp: "2026-01-01T00:00:00Z", labels: {} };
    const status = { capacity: {}, allocatable: {}, addresses: [], nodeInfo: {}, conditions: [] };
    return { apiVersion: "v1", kind: "Node", metadata, status };
  }
  async metrics(): Promise<Metrics> {
    const usage = { cpuNano: 250_000_000, memoryBytes: 64 * 2 ** 20 };
    const containers = [{ name: "app", ...usage }];
    const pods = [{ namespace: "default", name: "web", labels: { app: "web" }, containers }];
    return { at: 1_700_000_000_000, windowMs: 1002, node: { name: "host", ...usage }, pods };
  }
  checks: HealthCheck[] = [];
  health(): readonly HealthCheck[] {
    return this.checks;
  }
  async scrape(what: string): Promise<string> {
    return `# HELP x ${what}\n# TYPE x gauge\nx 1\n`;
  }
  events(): PodEvent[] {
    return this.eventList;
  }
  watchEvents(listener: (event: PodEvent) => void): () => void {
    this.eventListeners.add(listener);
    return () => this.eventListeners.delete(listener);
  }
  problems(): ProblemReport {
    return { problems: [], held: ["folder /x: is gone"] };
  }
  plan(): PlanStep[] {
    return [{ type: "remove-pod" as const, key: "default/web", uid: "1", reason: "unwanted" }];
  }
  async apply(text: string, fileName: string | undefined) {
    this.calls.push(`apply ${fileName ?? "-"} ${text.length}`);
    if (text.includes("broken")) {
      throw new GantryError("invalid-manifest", "spec.containers: is missing", {
        hint: "Add it.",
        details: { line: 3 },
      });
    }
    return [{ kind: "Pod", namespace: "default", name: "web", outcome: "created" as const, file: "web.yaml" }];
  }
  async deletePod(namespace: string, name: string, graceMs: number | undefined): Promise<void> {
    this.calls.push(`delete ${namespace}/${name} ${graceMs ?? "-"}`);
  }
  restartPod(namespace: string, name: string, container: string | undefined): void {
    this.calls.push(`restart ${namespace}/${name} ${container ?? "-"}`);
  }
  logFile(namespace: string, name: string, container: string | undefined, previous: boolean): LogTarget {
    this.calls.push(`log ${namespace}/${name} ${container ?? "-"} ${previous}`);
    if (container === "nobody") throw new GantryError("not-found", "there is no container nobody");
    return { path: this.logPath, running: () => this.logRuns };
  }
  attach(namespace: string, name: string, container: string | undefined, request: AttachRequest, signal: AbortSignal) {
    this.calls.push(`attach ${namespace}/${name} ${container ?? "-"} ${JSON.stringify(request)}`);
    return this.session({ command: [], tty: false, ...request }, signal);
  }

  exec(namespace: string, name: string, container: string | undefined, request: ExecRequest, signal: AbortSignal) {
    this.calls.push(`exec ${namespace}/${name} ${container ?? "-"} ${JSON.stringify(request)}`);
    return this.session(request, signal);
  }
  forwardPort(namespace: string, name: string, port: number): Promise<Duplex> {
    this.calls.push(`forward ${namespace}/${name} ${port}`);
    return this.connection(port);
  }
  async collectGarbage(dryRun: boolean): Promise<GcReport> {
    const removal = {
      digest: "sha256:1",
      names: ["localhost/old:1"],
      lastUsedAt: 0,
      freesBytes: 1024,
      why: "old",
    } as const;
    const none = { failed: [], logs: [], orphans: 0, held: undefined };
    return { dryRun, usedPercent: 90, wantedBytes: 2048, freedBytes: 1024, removed: [removal], ...none };
  }
  async images(): Promise<Image[]> {
    return [image("localhost/hello:1")];
  }
  async importImage(from: NodeJS.ReadableStream, name: string): Promise<Image> {
    for await (const chunk of from) {
      this.imported.push(Buffer.from(chunk));
      if (this.importFailure !== undefined) throw this.importFailure;
    }
    return image(name);
  }
  async importImages(from: NodeJS.ReadableStream): Promise<Image[]> {
    return [await this.importImage(from, "localhost/hello:1")];
  }
  async *pullImage(name: string): AsyncGenerator<PullStep> {
    const progress = { stage: "copying", bytes: 1, totalBytes: 2, layers: 0, totalLayers: 1 } as const;
    yield { type: "progress", progress };
    if (name === "localhost/none:1") throw new GantryError("image-missing", "no such image", { hint: "look" });
    yield { type: "image", image: image(name) };
  }
  async *verifyImages(names: readonly string[], repair: boolean): AsyncGenerator<VerifyResult> {
    yield { digest: "sha256:1", names, state: repair ? "repaired" : "damaged", findings: ["blob x is missing"] };
  }
  async exportImages(names: readonly string[]): Promise<() => AsyncIterable<Buffer>> {
    return async function* () {
      yield Buffer.from(names.join());
    };
  }
  async removeImage(nameOrDigest: string): Promise<void> {
    this.calls.push(`rmi ${nameOrDigest}`);
  }
  gitSources = () => [];
  gitSource = (name: string): never => {
    throw new GantryError("not-found", `there is no source ${name}`);
  };
  reloadGitSources = async () => {};
  syncGitSource = async (name: string) => this.gitSource(name);
  suspendGitSource = (name: string) => this.gitSource(name);
  diffGitSource = async (name: string) => this.gitSource(name);
  rollbackGitSource = async (name: string) => this.gitSource(name);

  info() {
    return { version: "0.1.0", pid: 1, startedAt: 0, root: "/", manifests: ["/m"], ociRuntime: "crun" };
  }

  /** Adds or changes a pod, and tells the watches. */
  put(name: string, labels: Record<string, string> = {}, phase: PodStatus["phase"] = "Running", namespace = "default") {
    this.version += 1;
    const uid = `uid-${namespace}-${name}`;
    const type = this.podList.has(uid) ? "MODIFIED" : "ADDED";
    const manifest = pod.parse({
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace, labels, uid, resourceVersion: String(this.version) },
      spec: { containers: [{ name: "app", image: "localhost/hello:1" }] },
    });
    const metadata = { ...manifest.metadata, uid, resourceVersion: String(this.version) };
    const object: PodObject = { ...manifest, metadata, status: statusOf(phase) };
    this.podList.set(uid, object);
    for (const listener of this.podListeners) listener({ type, object });
    return object;
  }
  remove(name: string, namespace = "default") {
    const uid = `uid-${namespace}-${name}`;
    const old = this.podList.get(uid);
    if (old === undefined) throw new Error(`no pod ${name}`);
    this.podList.delete(uid);
    this.version += 1;
    const object = { ...old, metadata: { ...old.metadata, resourceVersion: String(this.version) } };
    for (const listener of this.podListeners) listener({ type: "DELETED", object });
  }
  happen(event: Partial<PodEvent> = {}): PodEvent {
    const id = event.id ?? this.eventList.length + 1;
    const whole: PodEvent = {
      id,
      object: "Pod/default/web",
      podUid: "uid-default-web",
      type: "Normal",
      reason: "Started",
      message: "Started container app",
      at: 1_700_000_000_000 + id,
      firstAt: 1_700_000_000_000,
      count: 1,
      ...event,
    };
    this.eventList.push(whole);
    for (const listener of this.eventListeners) listener(whole);
    return whole;
  }
}

/** Only the phase matters to the API; the rest of a status is computed elsewhere. */
function statusOf(phase: PodStatus["phase"]): PodStatus {
  const status: Pick<PodStatus, "phase"> = { phase };
  return status as PodStatus;
}

function image(name: string): Image {
  const config = { entrypoint: [], cmd: [], env: [], workingDir: "/", user: "", stopSignal: undefined };
  return {
    digest: "sha256:1",
    names: [name],
    sizeBytes: 1,
    createdAt: 0,
    architecture: "amd64",
    origins: [],
    lastUsedAt: 0,
    config,
  };
}

/** A command whose ends are all in the hands of the test. */
export class FakeSession implements ExecSession {
  readonly stdin = new PassThrough();
  readonly stdout = new PassThrough();
  readonly stderr = new PassThrough();
  readonly sizes: string[] = [];
  killed = false;
  exit: (code: number) => void = () => {};
  fail: (error: unknown) => void = () => {};
  readonly exitCode = new Promise<number>((resolve, reject) => {
    this.exit = resolve;
    this.fail = reject;
  });
  resize(columns: number, rows: number): void {
    this.sizes.push(`${columns}x${rows}`);
  }
  kill(): void {
    this.killed = true;
    this.end(137);
  }
  end(code: number): void {
    this.stdout.end();
    this.stderr.end();
    this.exit(code);
  }
}

export interface Served {
  readonly backend: FakeBackend;
  readonly client: ApiClient;
  readonly socketPath: string;
  readonly directory: string;
  close(): Promise<void>;
}

/** A server with a fake backend, in a directory of its own. */
export async function serve(
  options: { readonly watchCapacity?: number; readonly backend?: FakeBackend; readonly clock?: Clock } = {},
): Promise<Served> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-api-"));
  const socketPath = join(directory, "run", "gantry.sock");
  const backend = options.backend ?? new FakeBackend();
  const { backend: _backend, ...more } = options;
  const server = createApiServer({ backend, socketPath, log: silentLogger(), ...more });
  await server.start();
  return {
    backend,
    client: createApiClient({ socketPath }),
    socketPath,
    directory,
    close: async () => {
      await server.close();
      await rm(directory, { recursive: true, force: true });
    },
  };
}

/** Waits for `condition`, with a deadline. */
export async function until(
  condition: () => boolean | Promise<boolean>,
  what: string,
  timeoutMs = 10_000,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited in vain for: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/**
 * Waits until nothing is written any more: client and server are in this process, so that what can still move, moves
 * in the next turns of its event loop.
 * @returns how much has been written
 */
export async function heldBack(written: () => number): Promise<number> {
  for (let seen = written(), still = 0; ; still += 1) {
    if (still === 200) return seen;
    await setImmediate();
    if (written() !== seen) still = 0;
    seen = written();
  }
}
