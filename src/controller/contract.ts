/**
 * Controllers: what an object that keeps pods makes of what there is. Each is one pure function of the object, its
 * children and the time; what it wants done comes back as data.
 */
import type {
  CronJob,
  DaemonSet,
  Deployment,
  Job,
  Pod,
  PodTemplate,
  ReplicaSet,
  StatefulSet,
} from "../manifest/index.ts";

export type { Workload } from "../manifest/index.ts";

/** An object with the facts that a manifest can't have. */
export interface Live<T> {
  readonly object: T;
  readonly uid: string;
  /** ms since the epoch */
  readonly createdAt: number;
  /** Counts the changes of its spec, from 1. */
  readonly generation: number;
  /** As it was left by its controller. */
  readonly status: Status | undefined;
  /** What its controller must not forget, besides. */
  readonly memory: Memory;
}

/** A status as the API serves it; each controller knows its own fields. */
export type Status = Readonly<Record<string, unknown>>;
export type Memory = Readonly<Record<string, unknown>>;

/** A kept version of a template: apps/v1 ControllerRevision. */
export interface ControllerRevision {
  readonly apiVersion: "apps/v1";
  readonly kind: "ControllerRevision";
  readonly metadata: ChildMeta;
  readonly revision: number;
  readonly data: { readonly template: PodTemplate };
}

export interface ChildMeta {
  readonly name: string;
  readonly namespace: string;
  readonly labels?: Record<string, string>;
  readonly annotations?: Record<string, string>;
  readonly ownerReferences?: OwnerReference[];
}

export interface OwnerReference {
  apiVersion: string;
  kind: string;
  name: string;
  uid: string;
  controller: boolean;
  blockOwnerDeletion: boolean;
}

/** A claim that a StatefulSet makes for one of its pods: v1 PersistentVolumeClaim. */
export interface Claim {
  readonly apiVersion: "v1";
  readonly kind: "PersistentVolumeClaim";
  readonly metadata: ChildMeta;
  readonly spec: unknown;
}

/** What a controller may make. */
export type Child = ReplicaSet | Job | ControllerRevision | Pod | Claim;

/** A child pod, as far as controllers look at it. Times: ms since the epoch. */
export interface PodView {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly pod: Pod;
  /** When its controller made it. */
  readonly createdAt: number;
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed";
  readonly ready: boolean;
  /** Since when it is ready. */
  readonly readyAt: number | undefined;
  /** It is on its way out. */
  readonly deleting: boolean;
  readonly restarts: number;
  /** When its last container ended, of one that has ended. */
  readonly endedAt: number | undefined;
}

export interface Scene {
  readonly pods: readonly PodView[];
  readonly replicaSets: readonly { readonly live: Live<ReplicaSet>; readonly pods: readonly PodView[] }[];
  readonly jobs: readonly Live<Job>[];
  readonly revisions: readonly Live<ControllerRevision>[];
  /** Keys of claims that are there already. */
  readonly claims: ReadonlySet<string>;
  readonly now: number;
  /** Five characters for the name of a new pod. */
  suffix(): string;
}

export type Deed =
  /** Makes it, or changes it when it is there. */
  | { readonly type: "put"; readonly child: Child; readonly memory?: Memory }
  | { readonly type: "drop"; readonly kind: Child["kind"]; readonly key: string }
  | {
      readonly type: "tell";
      readonly level: "Normal" | "Warning";
      readonly reason: string;
      readonly message: string;
    };

export interface Outcome {
  readonly deeds: readonly Deed[];
  readonly status: Status;
  readonly memory?: Memory;
  /** When to look again though nothing else happens, ms since the epoch. */
  readonly lookAt?: number | undefined;
}

export type Controller<T> = (me: Live<T>, scene: Scene) => Outcome;

export interface Condition {
  readonly type: string;
  readonly status: "True" | "False";
  readonly reason: string;
  readonly message: string;
  readonly lastUpdateTime?: string;
  readonly lastTransitionTime: string;
}

export type Keeper = Deployment | ReplicaSet | DaemonSet | StatefulSet;
export type Owner = Keeper | Job | CronJob;
