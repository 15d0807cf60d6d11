import type { Duplex } from "node:stream";
import type { GcReport } from "../gc/index.ts";
import type { Credential, Image, VerifyResult } from "../image/contract.ts";
import type { PullStep } from "../image/pull/steps.ts";
import type { Pod, Problem } from "../manifest/index.ts";
import type { Metrics } from "../metrics/meter.ts";
import type { Scrape } from "../metrics/scrape.ts";
import type { PlanStep } from "../plan.ts";
import type { AttachRequest, ExecRequest, ExecSession } from "../sandbox/driver.ts";
import type { Revision, SourceDiff, SourceStatus, SyncWish } from "../source/git/index.ts";
import type { PodStatus } from "../status.ts";
import type { PodEvent } from "../store/contract.ts";
import type { VolumeEntry } from "../volume/index.ts";

/**
 * What the API server needs from the daemon; implemented by src/daemon.ts over the parts, and by a fake in unit tests.
 *
 * Paths served (unix socket, JSON; Kubernetes-shaped, errors are v1 Status objects):
 *   GET    /api/v1/pods, /api/v1/namespaces/{ns}/pods          list; ?watch=true streams JSON lines; labelSelector, fieldSelector
 *   GET    /api/v1/namespaces/{ns}/pods/{name}                 one
 *   DELETE /api/v1/namespaces/{ns}/pods/{name}                 ?gracePeriodSeconds
 *   GET    …/pods/{name}/log                                   container, follow, previous, tailLines, limitBytes,
 *                                                              sinceSeconds, sinceTime, timestamps, stream
 *   GET    …/pods/{name}/exec                                  WebSocket v4.channel.k8s.io / v5, or (POST too) SPDY/3.1;
 *                                                              command, container, stdin, stdout, stderr, tty
 *   GET    …/pods/{name}/attach                                the same for the app itself; container, stdin, tty
 *   POST   …/pods/{name}/eviction                              policy/v1 Eviction: a deletion, as a drain asks for it
 *   GET    …/pods/{name}/portforward                           WebSocket v4.channel.k8s.io (ports) or SPDY/3.1+portforward.k8s.io,
 *                                                              or (POST too) SPDY/3.1
 *   GET    /api/v1/{events,configmaps,secrets,persistentvolumeclaims,nodes} and namespaced forms; events can be watched
 *   GET    /apis/metrics.k8s.io/v1beta1/{pods,nodes} and namespaced forms, as `kubectl top` asks for them
 *   GET    /version, /healthz, /livez, /readyz (?verbose, and /readyz/{check}), /metrics, /metrics/cadvisor, /metrics/resource
 *   GET    /apis/gantry.dev/v1/{problems,plan,images,daemon}
 *   POST   /apis/gantry.dev/v1/apply                           body: YAML text → file in the manifest folder
 *   POST   /apis/gantry.dev/v1/namespaces/{ns}/pods/{name}/restart   ?container
 *   POST   /apis/gantry.dev/v1/images?name=NAME                body: the archive as a stream
 *   POST   /apis/gantry.dev/v1/images                          the same, of an archive with many: each by its own names
 *   GET    /apis/gantry.dev/v1/volumes                         volumes of claims
 *   DELETE /apis/gantry.dev/v1/namespaces/{ns}/volumes/{name}
 *   POST   /apis/gantry.dev/v1/garbage?dryRun=true             images, blobs and logs that nobody needs
 *   DELETE /apis/gantry.dev/v1/images/{urlencoded name or digest}
 *   POST   /apis/gantry.dev/v1/imagepulls?name=NAME            body: { credentials } or nothing; JSON lines (PullStep)
 *   POST   /apis/gantry.dev/v1/imagechecks?name=N&name=…       ?repair; JSON lines (VerifyResult)
 *   GET    /apis/gantry.dev/v1/sources                         Git sources; POST has their files read again
 *   GET    /apis/gantry.dev/v1/sources/{name}[/diff]
 *   POST   /apis/gantry.dev/v1/sources/{name}/{now,suspend,resume,rollback}   ?retry, ?allowEmpty; ?revision
 *   GET    /apis/gantry.dev/v1/imagearchive?name=N&name=…      one OCI archive
 */
export interface ApiBackend {
  pods(): PodObject[];
  /** Every change of a pod, with a resourceVersion that only grows. */
  watchPods(listener: (change: PodWatchEvent) => void): () => void;
  /** Everything but pods and events. */
  objects(): readonly ServedObject[];
  /** Every change of one of them, with a resourceVersion that only grows. */
  watchObjects(listener: (change: ObjectWatchEvent) => void): () => void;
  /** Changes fields of an object in the file that defines it. @returns the file's path. @throws not-found, conflict */
  editObject(kind: string, namespace: string, name: string, changes: readonly FieldChange[]): Promise<string>;
  /** Takes an object other than a Pod out of its file, or from its controller, which may make another. @throws not-found, conflict */
  deleteObject(kind: string, namespace: string, name: string): Promise<void>;
  /**
   * Writes an object into the manifest folder: a new one into a file of its own, another where it stands.
   * @throws invalid-manifest, conflict, disk-full, forbidden (HttpReason) for what is written elsewhere
   */
  writeObject(request: WriteRequest): Promise<WriteResult>;
  /** Puts the template of an earlier revision back into the file. @throws not-found, conflict */
  undoRollout(kind: string, namespace: string, name: string, revision: number | undefined): Promise<UndoResult>;
  /** Volumes of claims, and claims that have none yet. */
  volumes(): Promise<VolumeEntry[]>;
  /** Removes a volume and its data. @throws not-found, conflict (it is claimed, or a pod has it) */
  removeVolume(namespace: string, name: string): Promise<void>;
  node(): NodeObject;
  /** What pods and the node use now; measured when it is asked for, which takes a second. */
  metrics(): Promise<Metrics>;
  /** The same and more for Prometheus, in its text format; counters, so that nothing has to be waited for. */
  scrape(what: Scrape): Promise<string>;
  /** What must be in order for the daemon to count as alive, and as ready. */
  health(): readonly HealthCheck[];
  events(): PodEvent[];
  watchEvents(listener: (event: PodEvent) => void): () => void;
  /** Broken manifests, warnings, and sources that hold. */
  problems(): ProblemReport;
  /** What the next reconciliation would do. */
  plan(): PlanStep[];
  /** Checks the manifests in `text` and writes them to the folder. @throws invalid-manifest, conflict */
  apply(text: string, fileName: string | undefined): Promise<ApplyResult[]>;
  /** Takes the pod out of its manifest file. @throws not-found, conflict (a source that can't be written) */
  deletePod(namespace: string, name: string, graceMs: number | undefined): Promise<void>;
  restartPod(namespace: string, name: string, container: string | undefined): void;
  /** The log files of one container, oldest first; which run is meant is chosen by `previous`. @throws not-found */
  logFile(namespace: string, name: string, container: string | undefined, previous: boolean): LogTarget;
  exec(
    namespace: string,
    name: string,
    container: string | undefined,
    request: ExecRequest,
    signal: AbortSignal,
  ): Promise<ExecSession>;
  attach(
    namespace: string,
    name: string,
    container: string | undefined,
    request: AttachRequest,
    signal: AbortSignal,
  ): Promise<ExecSession>;
  /** Connects to a TCP port of a pod, as its own loopback address has it. @throws not-found, conflict, network-failed */
  forwardPort(namespace: string, name: string, port: number, signal: AbortSignal): Promise<Duplex>;
  images(): Promise<Image[]>;
  /** @param shownAs what errors call the stream */
  importImage(from: NodeJS.ReadableStream, name: string, signal: AbortSignal, shownAs?: string): Promise<Image>;
  importImages(from: NodeJS.ReadableStream, signal: AbortSignal, shownAs?: string): Promise<Image[]>;
  removeImage(nameOrDigest: string): Promise<void>;
  /** @throws name-invalid before the first step; while it goes on, as `ImageStore.pull` does */
  pullImage(name: string, credentials: readonly Credential[], signal: AbortSignal): AsyncIterable<PullStep>;
  verifyImages(names: readonly string[], repair: boolean, signal: AbortSignal): AsyncIterable<VerifyResult>;
  /** @throws not-found, at once when one of them is not there */
  exportImages(names: readonly string[]): Promise<(signal: AbortSignal) => AsyncIterable<Buffer>>;
  /** Removes what nobody needs, or only says what that would be. */
  collectGarbage(dryRun: boolean): Promise<GcReport>;
  gitSources(): SourceStatus[];
  /** @throws not-found, as all below */
  gitSource(name: string): SourceStatus;
  /** Takes up what the configuration's files say of sources now. */
  reloadGitSources(): Promise<void>;
  /** Fetches, and puts into force what came. @throws source-failed, source-untrusted, invalid-manifest, conflict */
  syncGitSource(name: string, wish: SyncWish): Promise<SyncResult>;
  suspendGitSource(name: string, suspended: boolean): SourceStatus;
  /** @throws source-failed */
  diffGitSource(name: string): Promise<SourceDiff>;
  /** @throws conflict */
  rollbackGitSource(name: string, wanted: string | undefined): Promise<Revision>;
  info(): DaemonInfo;
}

export interface HealthCheck {
  /** "reconcile" */
  readonly name: string;
  /** What fails in one that is not "live" makes the daemon not ready, but not dead. */
  readonly scope: "live" | "ready";
  readonly problem: string | undefined;
}

export interface SyncResult {
  /** Something came into force. */
  readonly changed: boolean;
  readonly status: SourceStatus;
}

/** A v1 Pod as served: the manifest's, with uid, times, annotations of Gantry, and its computed status. */
export type PodObject = Pod & {
  /** `generation` counts the specs that it was to have; an older daemon does not tell. */
  readonly metadata: Pod["metadata"] & { readonly uid: string; readonly resourceVersion: string };
  /** `observedGeneration`: which of them what runs was made from. */
  readonly status: PodStatus & { readonly observedGeneration?: number };
};

export interface PodWatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: PodObject;
}

/** An object of another kind than Pod as served: what is written or made, with uid, times and status. */
export interface ServedObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    /** Absent for objects of the whole node. */
    readonly namespace?: string;
    readonly uid: string;
    readonly resourceVersion: string;
    readonly creationTimestamp: string;
    /** Of objects that have a controller. */
    readonly generation?: number;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
    readonly ownerReferences?: readonly { readonly kind: string; readonly name: string; readonly uid: string }[];
  };
  readonly spec?: Readonly<Record<string, unknown>>;
  readonly status?: Readonly<Record<string, unknown>>;
  /** Of Endpoints: the same as in slices, as older clients read it. */
  readonly subsets?: readonly object[];
  /** Of an EndpointSlice: where its pods are … */
  readonly endpoints?: readonly { readonly addresses: readonly string[] }[];
  /** … and the ports that they have there. */
  readonly ports?: readonly { readonly name: string; readonly port: number; readonly protocol: string }[];
}

export interface ObjectWatchEvent {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: ServedObject;
}

export interface WriteRequest {
  readonly kind: string;
  /** undefined for kinds without namespaces. */
  readonly namespace: string | undefined;
  readonly name: string;
  /** The object as it is served, without what only the server writes; undefined for a new one. */
  readonly before: unknown;
  /** The object as it is to be. */
  readonly after: unknown;
  /** What clients leave with it. */
  readonly owners: FieldOwners;
  /** Only says what would come of it. */
  readonly dryRun: boolean;
}

/** What clients leave with an object for their next change of it; it is no part of a manifest. */
export interface FieldOwners {
  /** The annotation kubectl.kubernetes.io/last-applied-configuration. */
  readonly lastApplied?: string | undefined;
  readonly managedFields?: readonly Readonly<Record<string, unknown>>[] | undefined;
}

export interface WriteResult {
  /** The object as it is written, with defaults. */
  readonly object: unknown;
  /** undefined after a dry run of a new object. */
  readonly file: string | undefined;
}

/** A field by its path, and its new value; undefined takes it out. */
export interface FieldChange {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
}

export interface UndoResult {
  readonly revision: number;
  readonly file: string;
}

export interface ProblemReport {
  readonly problems: readonly Problem[];
  /** Sources whose content can't be trusted now: "folder /x: is gone; everything that runs is kept". */
  readonly held: readonly string[];
  /** What does not work on this host; an older daemon does not tell. */
  readonly troubles?: readonly string[];
}

export interface ApplyResult {
  readonly kind: string;
  readonly namespace: string;
  readonly name: string;
  readonly outcome: "created" | "configured" | "unchanged";
  readonly file: string;
}

export interface LogTarget {
  /** The live file; rotated ones stand beside it as <n>.log.<timestamp>. */
  readonly path: string;
  /** False once this run has ended: following stops at the end of the file. Asked again and again. */
  running(): boolean;
}

export interface DaemonInfo {
  readonly version: string;
  readonly pid: number;
  readonly startedAt: number;
  readonly root: string;
  readonly manifests: readonly string[];
  readonly ociRuntime: string;
  /** Where the API is served over TLS; undefined when it is not, or by an older daemon. */
  readonly listen?: string | undefined;
}

export interface NodeObject {
  readonly apiVersion: "v1";
  readonly kind: "Node";
  readonly metadata: {
    readonly name: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly labels: Readonly<Record<string, string>>;
  };
  readonly status: {
    readonly capacity: Readonly<Record<string, string>>;
    readonly allocatable: Readonly<Record<string, string>>;
    readonly addresses: readonly { readonly type: string; readonly address: string }[];
    readonly nodeInfo: Readonly<Record<string, string>>;
    readonly conditions: readonly {
      readonly type: string;
      readonly status: string;
      readonly reason: string;
      readonly message: string;
      readonly lastTransitionTime: string;
      readonly lastHeartbeatTime?: string;
    }[];
  };
}
