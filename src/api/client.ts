import type { Duplex, Readable } from "node:stream";
import type { GcReport } from "../gc/index.ts";
import type { Credential, Image, VerifyResult } from "../image/contract.ts";
import type { PullStep } from "../image/pull/steps.ts";
import type { PlanStep } from "../plan.ts";
import type { ExecRequest, ExecSession } from "../sandbox/driver.ts";
import type { Revision, SourceDiff, SourceStatus } from "../source/git/index.ts";
import type { VolumeEntry } from "../volume/index.ts";
import type { Endpoint } from "./client/endpoint.ts";
import { readLines } from "./client/lines.ts";
import { openRequest, requestJson, requestNothing } from "./client/request.ts";
import { watchLines } from "./client/watch.ts";
import type {
  ApplyResult,
  DaemonInfo,
  FieldChange,
  NodeObject,
  PodObject,
  ProblemReport,
  ServedObject,
  SyncResult,
  UndoResult,
} from "./contract.ts";
import type { EventObject, NodeMetrics, ObjectList, PodMetrics, VersionInfo, WatchEvent } from "./wire.ts";

export type { EventObject, NodeMetrics, ObjectList, PodMetrics, VersionInfo, WatchEvent } from "./wire.ts";

/**
 * The API of a daemon, over its unix socket or TLS. Loads nothing but node:http (the CLI's start-up time is part of what
 * users feel); `ws` only when `exec` is called.
 *
 * Every call throws GantryError: `daemon-unreachable` when there is no daemon there, else the very code, hint
 * and details that the daemon threw.
 */
export interface ApiClient {
  readonly endpoint: Endpoint;
  listPods(options?: ListOptions): Promise<ObjectList<PodObject>>;
  /** @throws not-found */
  getPod(namespace: string, name: string): Promise<PodObject>;
  /**
   * Changes of pods. Without `resourceVersion`: first one ADDED for each pod there is. Ends when `signal` is aborted
   * or the daemon closes down in good order.
   * @throws conflict with details.reason "Expired" when `resourceVersion` is too old (list again, then watch);
   *   daemon-unreachable when the daemon dies
   */
  watchPods(options?: WatchOptions): AsyncGenerator<WatchEvent<PodObject>, void, undefined>;
  /** Takes the pod out of its manifest. It stops in its grace, or in `graceMs`. @throws not-found, conflict */
  deletePod(namespace: string, name: string, options?: { readonly graceMs?: number }): Promise<void>;
  /** Restarts all containers of a pod, or one. @throws not-found */
  restartPod(namespace: string, name: string, options?: { readonly container?: string }): Promise<void>;
  /** @param plural "deployments", with its group: "apps/deployments" */
  listObjects(plural: string, options?: ListOptions): Promise<ObjectList<ServedObject>>;
  /** @throws not-found */
  getObject(plural: string, namespace: string, name: string): Promise<ServedObject>;
  watchObjects(plural: string, options?: WatchOptions): AsyncGenerator<WatchEvent<ServedObject>, void, undefined>;
  /** Takes it out of its manifest. @throws not-found, conflict */
  deleteObject(plural: string, namespace: string, name: string): Promise<void>;
  /** Changes fields in the file that defines the object. @returns the file. @throws not-found, conflict */
  editObject(kind: string, namespace: string, name: string, changes: readonly FieldChange[]): Promise<string>;
  /** @throws not-found, conflict */
  undoRollout(kind: string, namespace: string, name: string, revision?: number): Promise<UndoResult>;
  /** The log as text lines. Destroying the stream, or aborting, ends it. @throws not-found */
  podLog(namespace: string, name: string, options?: PodLogOptions): Promise<Readable>;
  /** Runs a command in a container. Aborting kills it. @throws not-found, runtime-failed */
  exec(namespace: string, name: string, request: ExecRequest & PodExecOptions): Promise<ExecSession>;
  /** Joins the app of a container. Aborting lets go of it. @throws not-found, conflict (input for one without stdin) */
  attach(namespace: string, name: string, request: PodAttachOptions): Promise<ExecSession>;
  /**
   * Connects to a TCP port of a pod, as its own loopback address has it. Destroyed with network-failed where nothing
   * listens. @throws not-found
   */
  forward(namespace: string, name: string, port: number, signal?: AbortSignal): Promise<Duplex>;
  /** What running pods use now. Takes a second. */
  podMetrics(options?: ListOptions): Promise<ObjectList<PodMetrics>>;
  nodeMetrics(): Promise<ObjectList<NodeMetrics>>;
  listNodes(): Promise<ObjectList<NodeObject>>;
  /** Oldest first. */
  listEvents(options?: ListOptions): Promise<ObjectList<EventObject>>;
  watchEvents(options?: WatchOptions): AsyncGenerator<WatchEvent<EventObject>, void, undefined>;
  problems(): Promise<ProblemReport>;
  plan(): Promise<readonly PlanStep[]>;
  /** Writes the manifests in `text` to the manifest folder. @throws invalid-manifest, conflict */
  apply(text: string, options?: { readonly fileName?: string }): Promise<readonly ApplyResult[]>;
  listVolumes(): Promise<readonly VolumeEntry[]>;
  /** @throws not-found, conflict */
  removeVolume(namespace: string, name: string): Promise<void>;
  listImages(): Promise<readonly Image[]>;
  /** @param options `source` is what errors call `from`. @throws image-invalid, name-invalid, disk-full */
  importImage(
    from: Readable,
    name: string,
    options?: { readonly source?: string; readonly signal?: AbortSignal },
  ): Promise<Image>;
  /** Every image of an archive, by its own names. @throws image-invalid, disk-full */
  importImages(
    from: Readable,
    options?: { readonly source?: string; readonly signal?: AbortSignal },
  ): Promise<readonly Image[]>;
  /** The image comes last. @throws as `ImageStore.pull` */
  pullImage(name: string, credentials: readonly Credential[], signal?: AbortSignal): AsyncIterable<PullStep>;
  /** @throws not-found */
  verifyImages(names: readonly string[], repair: boolean, signal?: AbortSignal): AsyncIterable<VerifyResult>;
  /** An OCI archive. @throws not-found */
  exportImages(names: readonly string[], signal?: AbortSignal): Promise<Readable>;
  /** Removes images, blobs and logs that nobody needs, or says what that would be. */
  collectGarbage(dryRun: boolean): Promise<GcReport>;
  /** @throws not-found, image-in-use */
  removeImage(nameOrDigest: string): Promise<void>;
  listSources(): Promise<readonly SourceStatus[]>;
  /** @throws not-found, as all about one source */
  getSource(name: string): Promise<SourceStatus>;
  /** Has the daemon read the files in sources.d again. */
  reloadSources(): Promise<void>;
  /** @throws source-failed, source-untrusted, invalid-manifest, conflict */
  syncSource(
    name: string,
    options?: { readonly retry?: boolean; readonly allowEmpty?: boolean },
    signal?: AbortSignal,
  ): Promise<SyncResult>;
  suspendSource(name: string, suspended: boolean): Promise<SourceStatus>;
  /** @throws source-failed */
  diffSource(name: string): Promise<SourceDiff>;
  /** @throws conflict */
  rollbackSource(name: string, revision?: string): Promise<Revision>;
  daemonInfo(): Promise<DaemonInfo>;
  version(): Promise<VersionInfo>;
}

export interface ListOptions {
  /** Default: all namespaces. */
  readonly namespace?: string;
  /** "app=web,tier in (a,b),!legacy" */
  readonly labelSelector?: string;
  /** "status.phase=Running", "metadata.name=web"; for events also "involvedObject.name=web" */
  readonly fieldSelector?: string;
}

export interface WatchOptions extends ListOptions {
  /** Go on after the list that had this version. */
  readonly resourceVersion?: string;
  readonly signal?: AbortSignal;
}

export interface PodLogOptions {
  /** May be left out where the pod has one container. */
  readonly container?: string;
  readonly follow?: boolean;
  /** The run before the present one. */
  readonly previous?: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  /** RFC 3339. */
  readonly sinceTime?: string;
  readonly timestamps?: boolean;
  readonly signal?: AbortSignal;
}

export interface PodExecOptions {
  /** May be left out where the pod has one container. */
  readonly container?: string;
  readonly signal?: AbortSignal;
}

export interface PodAttachOptions extends PodExecOptions {
  readonly stdin: boolean;
  /** The app has a terminal, as its manifest says: one stream. */
  readonly tty: boolean;
}

const GANTRY = "/apis/gantry.dev/v1";
/** A fetch has a time limit of its own, of an hour at most. ms */
const FETCH_PATIENCE_MS = 3_700_000;

export function createApiClient(endpoint: Endpoint): ApiClient {
  const get = <T>(path: string): Promise<T> => requestJson<T>(endpoint, { method: "GET", path });
  return {
    endpoint,
    listPods: (list = {}) => get(collection("pods", list)),
    getPod: (namespace, name) => get(pod(namespace, name)),
    watchPods: (watch = {}) => watchLines(endpoint, watchPath("pods", watch), watch.signal),
    deletePod: (namespace, name, { graceMs } = {}) =>
      requestNothing(endpoint, {
        method: "DELETE",
        path: pod(namespace, name) + query({ gracePeriodSeconds: graceMs === undefined ? undefined : graceMs / 1000 }),
      }),
    restartPod: (namespace, name, { container } = {}) =>
      requestNothing(endpoint, {
        method: "POST",
        path: `${GANTRY}/namespaces/${segment(namespace)}/pods/${segment(name)}/restart${query({ container })}`,
      }),
    listObjects: (plural, list = {}) => get(collection(plural, list)),
    getObject: (plural, namespace, name) => {
      const { base, name: last } = resource(plural);
      return get(`${base}/namespaces/${segment(namespace)}/${last}/${segment(name)}`);
    },
    deleteObject: (plural, namespace, name) => {
      const { base, name: last } = resource(plural);
      const path = `${base}/namespaces/${segment(namespace)}/${last}/${segment(name)}`;
      return requestNothing(endpoint, { method: "DELETE", path });
    },
    watchObjects: (plural, watch = {}) => watchLines(endpoint, watchPath(plural, watch), watch.signal),
    editObject: async (kind, namespace, name, changes) => {
      const path = `${GANTRY}/namespaces/${segment(namespace)}/${segment(kind)}/${segment(name)}/edit`;
      // JSON has no undefined, and null is what takes a field out.
      const body = JSON.stringify({ changes: changes.map(({ path, value }) => ({ path, value: value ?? null })) });
      const request = { method: "POST", path, body, contentType: "application/json" } as const;
      return (await requestJson<{ file: string }>(endpoint, request)).file;
    },
    undoRollout: (kind, namespace, name, revision) => {
      const path = `${GANTRY}/namespaces/${segment(namespace)}/${segment(kind)}/${segment(name)}/undo${query({ revision })}`;
      return requestJson(endpoint, { method: "POST", path });
    },
    podLog: (namespace, name, { signal, ...log } = {}) =>
      openRequest(endpoint, { method: "GET", path: `${pod(namespace, name)}/log${query({ ...log })}`, signal }),
    exec: async (namespace, name, { command, container, tty, stdin, signal }) => {
      const { openExec } = await import("./client/exec.ts");
      const options = { container, tty, stdin, stdout: true, stderr: !tty };
      const commands = command.map((word) => `&command=${encodeURIComponent(word)}`).join("");
      return openExec(endpoint, `${pod(namespace, name)}/exec${query(options)}${commands}`, { tty, stdin }, signal);
    },
    attach: async (namespace, name, { container, tty, stdin, signal }) => {
      const { openExec } = await import("./client/exec.ts");
      const options = { container, tty, stdin, stdout: true, stderr: !tty };
      return openExec(endpoint, `${pod(namespace, name)}/attach${query(options)}`, { tty, stdin }, signal);
    },
    forward: async (namespace, name, port, signal) => {
      const { openForward } = await import("./client/forward.ts");
      return openForward(endpoint, `${pod(namespace, name)}/portforward${query({ ports: port })}`, signal);
    },
    podMetrics: (list = {}) => get(collection("metrics.k8s.io/pods", list)),
    nodeMetrics: () => get(collection("metrics.k8s.io/nodes", {})),
    listNodes: () => get(collection("nodes", {})),
    listEvents: (list = {}) => get(collection("events", list)),
    watchEvents: (watch = {}) => watchLines(endpoint, watchPath("events", watch), watch.signal),
    problems: () => get(`${GANTRY}/problems`),
    plan: async () => (await get<{ steps: readonly PlanStep[] }>(`${GANTRY}/plan`)).steps,
    apply: async (text, { fileName } = {}) => {
      const path = `${GANTRY}/apply${query({ fileName })}`;
      const request = { method: "POST", path, body: text, contentType: "application/yaml" } as const;
      return (await requestJson<{ items: readonly ApplyResult[] }>(endpoint, request)).items;
    },
    listVolumes: async () => (await get<{ items: readonly VolumeEntry[] }>(`${GANTRY}/volumes`)).items,
    removeVolume: (namespace, name) =>
      requestNothing(endpoint, {
        method: "DELETE",
        path: `${GANTRY}/namespaces/${segment(namespace)}/volumes/${segment(name)}`,
      }),
    listImages: async () => (await get<{ items: readonly Image[] }>(`${GANTRY}/images`)).items,
    importImage: (from, name, { source, signal } = {}) => {
      const path = `${GANTRY}/images${query({ name, source })}`;
      return requestJson(endpoint, { method: "POST", path, body: from, contentType: "application/x-tar", signal });
    },
    importImages: async (from, { source, signal } = {}) => {
      const path = `${GANTRY}/images${query({ source })}`;
      const request = { method: "POST", path, body: from, contentType: "application/x-tar", signal } as const;
      return (await requestJson<{ items: readonly Image[] }>(endpoint, request)).items;
    },
    pullImage: (name, credentials, signal) =>
      readLines<PullStep>(endpoint, {
        method: "POST",
        path: `${GANTRY}/imagepulls${query({ name })}`,
        body: JSON.stringify({ credentials }),
        contentType: "application/json",
        signal,
      }),
    verifyImages: (names, repair, signal) =>
      readLines<VerifyResult>(endpoint, {
        method: "POST",
        path: `${GANTRY}/imagechecks${query({ repair })}${named(names)}`,
        signal,
      }),
    exportImages: (names, signal) =>
      openRequest(endpoint, { method: "GET", path: `${GANTRY}/imagearchive${query({})}${named(names)}`, signal }),
    collectGarbage: (dryRun) =>
      requestJson(endpoint, { method: "POST", path: `${GANTRY}/garbage${query({ dryRun })}` }),
    removeImage: (nameOrDigest) =>
      requestNothing(endpoint, { method: "DELETE", path: `${GANTRY}/images/${segment(nameOrDigest)}` }),
    listSources: async () => (await get<{ items: readonly SourceStatus[] }>(`${GANTRY}/sources`)).items,
    getSource: (name) => get(`${GANTRY}/sources/${segment(name)}`),
    reloadSources: () => requestNothing(endpoint, { method: "POST", path: `${GANTRY}/sources` }),
    syncSource: (name, { retry, allowEmpty } = {}, signal) =>
      requestJson(endpoint, {
        method: "POST",
        path: `${GANTRY}/sources/${segment(name)}/now${query({ retry, allowEmpty })}`,
        signal,
        patienceMs: FETCH_PATIENCE_MS,
      }),
    suspendSource: (name, suspended) =>
      requestJson(endpoint, {
        method: "POST",
        path: `${GANTRY}/sources/${segment(name)}/${suspended ? "suspend" : "resume"}`,
      }),
    diffSource: (name) =>
      requestJson(endpoint, {
        method: "GET",
        path: `${GANTRY}/sources/${segment(name)}/diff`,
        patienceMs: FETCH_PATIENCE_MS,
      }),
    rollbackSource: async (name, revision) => {
      const path = `${GANTRY}/sources/${segment(name)}/rollback${query({ revision })}`;
      return (await requestJson<{ revision: Revision }>(endpoint, { method: "POST", path })).revision;
    },
    daemonInfo: () => get(`${GANTRY}/daemon`),
    version: () => get("/version"),
  };
}

/** Parameters that are given once for each name. */
function named(names: readonly string[]): string {
  return names.map((name) => `&name=${encodeURIComponent(name)}`).join("");
}

/** One segment of a path. */
const segment = encodeURIComponent;

function pod(namespace: string, name: string): string {
  return `/api/v1/namespaces/${segment(namespace)}/pods/${segment(name)}`;
}

function collection(plural: string, options: ListOptions, more: Readonly<Record<string, Value>> = {}): string {
  const { namespace, labelSelector, fieldSelector } = options;
  const scope = namespace === undefined ? "" : `namespaces/${segment(namespace)}/`;
  const { base, name } = resource(plural);
  return `${base}/${scope}${name}${query({ labelSelector, fieldSelector, ...more })}`;
}

/** "apps/deployments" is in the group apps, "pods" in the core. */
function resource(plural: string): { readonly base: string; readonly name: string } {
  const [group = "", name] = plural.split("/");
  const version = group === "metrics.k8s.io" ? "v1beta1" : "v1";
  return name === undefined ? { base: "/api/v1", name: plural } : { base: `/apis/${group}/${version}`, name };
}

function watchPath(plural: string, options: WatchOptions): string {
  return collection(plural, options, { watch: true, resourceVersion: options.resourceVersion });
}

type Value = string | number | boolean | undefined;

/** "?a=1&b=x" of what is defined; always begins with "?", so that more can be added. */
function query(values: Readonly<Record<string, Value>>): string {
  const pairs = Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [`${key}=${encodeURIComponent(String(value))}`],
  );
  return `?${pairs.join("&")}`;
}
