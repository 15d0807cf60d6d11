/** What reading manifests yields. The object types themselves are z.infer of the schemas in schema/. */
import type {
  ConfigMap,
  CronJob,
  DaemonSet,
  Deployment,
  InertObject,
  Job,
  PersistentVolumeClaim,
  Pod,
  ReplicaSet,
  RuntimeClass,
  Secret,
  Service,
  StatefulSet,
} from "./schema/index.ts";

/** A place in a file. Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export interface Problem {
  readonly severity: "error" | "warning";
  readonly place: Place;
  /** Path of the field, e.g. "spec.containers[0].image"; "" for the whole document. */
  readonly field: string;
  /** What is wrong, with the offending value. */
  readonly message: string;
  /** What to do, e.g. "did you mean 'image'?" */
  readonly hint: string | undefined;
  /** "Pod default/web" when the object is known. */
  readonly object: string | undefined;
}

/** Objects that keep pods of their own. */
export type Workload = Deployment | ReplicaSet | DaemonSet | StatefulSet | Job | CronJob;

/** Objects that something here acts on, or uses. */
export type ActiveObject = Pod | ConfigMap | Secret | PersistentVolumeClaim | RuntimeClass | Service | Workload;

export type ManifestObject = ActiveObject | InertObject;

/** One validated object with all defaults filled in, and where it came from. */
export interface LoadedObject {
  readonly object: ManifestObject;
  readonly place: Place;
  /** Of fields that a look at other objects or at the host may find fault with, by name: see places.ts. */
  readonly places: ReadonlyMap<string, Place>;
  readonly warnings: readonly Problem[];
  /** True when the file is broken now and this is the last good version of it. */
  readonly stale: boolean;
  /** Of a workload: the plain data that was written, without defaults. */
  readonly written?: unknown;
}

export interface ParseResult {
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
}
