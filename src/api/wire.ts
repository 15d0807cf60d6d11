/** What goes over the socket besides the objects of contract.ts. Types only, so that the client loads nothing for them. */

/** A v1 Status: what every refused request is answered with. */
export interface StatusObject {
  readonly apiVersion: "v1";
  readonly kind: "Status";
  readonly metadata: Readonly<Record<string, never>>;
  readonly status: "Success" | "Failure";
  readonly message?: string;
  /** CamelCase, as Kubernetes names them: NotFound, Conflict, Expired … */
  readonly reason?: string;
  readonly details?: StatusDetails;
  /** The HTTP status. */
  readonly code?: number;
}

export interface StatusDetails {
  readonly name?: string;
  readonly kind?: string;
  readonly group?: string;
  readonly uid?: string;
  readonly causes?: readonly { readonly reason: string; readonly message: string; readonly field?: string }[];
  /** Gantry's own error, so that nothing of it is lost on the way to the CLI. */
  readonly gantry?: {
    readonly code: string;
    readonly kind: string;
    readonly hint?: string;
    readonly details?: Readonly<Record<string, unknown>>;
  };
}

/** A v1 list ("PodList", "EventList" …). */
export interface ObjectList<T> {
  readonly apiVersion: string;
  readonly kind: string;
  /** Hand `resourceVersion` to a watch to go on where the list ends. */
  readonly metadata: { readonly resourceVersion: string };
  readonly items: readonly T[];
}

export interface WatchEvent<T> {
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  readonly object: T;
}

/** A v1 Event as served. Times are RFC 3339. */
export interface EventObject {
  readonly apiVersion: "v1";
  readonly kind: "Event";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly uid: string;
    readonly creationTimestamp: string;
    readonly resourceVersion: string;
  };
  readonly involvedObject: {
    readonly apiVersion: string;
    /** Pod, Deployment …, Node or Manifest; the name of a Manifest is its file. */
    readonly kind: string;
    readonly namespace?: string;
    readonly name: string;
    readonly uid?: string;
  };
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  readonly count: number;
  readonly firstTimestamp: string;
  readonly lastTimestamp: string;
  readonly source: { readonly component: string };
  readonly reportingComponent: string;
  readonly reportingInstance: string;
}

/** GET /version: Kubernetes' version.Info, and Gantry's own version. */
export interface VersionInfo {
  readonly major: string;
  readonly minor: string;
  readonly gitVersion: string;
  readonly gitCommit: string;
  readonly gitTreeState: string;
  readonly buildDate: string;
  readonly goVersion: string;
  readonly compiler: string;
  readonly gantryVersion: string;
  readonly platform: string;
}

/** Quantities: "12345678n" of a core, "1234Ki". */
export interface Usage {
  readonly cpu: string;
  readonly memory: string;
}

interface Measured {
  readonly apiVersion: "metrics.k8s.io/v1beta1";
  /** The end of the time over which the CPU was measured. RFC 3339 */
  readonly timestamp: string;
  /** Its length: "1.002s". */
  readonly window: string;
}

/** Containers that do not run are left out. Memory is the working set: what the kernel could not take back at once. */
export interface PodMetrics extends Measured {
  readonly kind: "PodMetrics";
  readonly metadata: MeasuredMeta & { readonly namespace: string };
  readonly containers: readonly { readonly name: string; readonly usage: Usage }[];
}

export interface NodeMetrics extends Measured {
  readonly kind: "NodeMetrics";
  readonly metadata: MeasuredMeta;
  readonly usage: Usage;
}

interface MeasuredMeta {
  readonly name: string;
  readonly creationTimestamp: string;
  readonly labels: Readonly<Record<string, string>>;
}
