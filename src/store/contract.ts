/**
 * Facts that observation cannot give back: counts, absolute deadlines, last good manifests, events.
 * Written synchronously (SQLite, WAL, one writer); all times ms since the epoch.
 */
export interface StateStore {
  readonly pods: {
    list(): PodFacts[];
    put(facts: PodFacts): void;
    /** Removes the pod's container facts and its accepted manifest too. */
    remove(uid: string): void;
  };
  readonly containers: {
    /** Of one pod. */
    list(uid: string): ContainerFacts[];
    put(facts: ContainerFacts): void;
    remove(uid: string, name: string): void;
  };
  /** The manifest that each pod uid runs by, as JSON: a daemon that starts drives it on before any source has answered. */
  readonly accepted: {
    list(): { readonly uid: string; readonly text: string }[];
    put(uid: string, text: string): void;
    remove(uid: string): void;
  };
  /** The text of each manifest file as it was when it last parsed. */
  readonly lastGood: {
    list(source: string): { readonly file: string; readonly text: string }[];
    put(source: string, file: string, text: string): void;
    remove(source: string, file: string): void;
  };
  /** Images that are being changed under a running pod, and those that were changed back. */
  readonly updates: {
    list(): UpdateFacts[];
    put(facts: UpdateFacts): void;
    remove(key: string, container: string): void;
  };
  /** What controllers keep, as JSON, by "<kind> <namespace>/<name>". */
  readonly objects: TextTable;
  /** What the API has to know again of objects that manifests have, as JSON, by "<kind> <namespace>/<name>". */
  readonly served: TextTable;
  /** Of pods that are being changed or were changed back, by "<namespace>/<name>", as JSON. */
  readonly versions: TextTable;
  /** What is known of each Git source, by its name, as JSON. */
  readonly sources: TextTable;
  readonly events: {
    /** Counts up instead of adding a row when the newest event of the same object has the same type, reason and message. */
    add(event: NewEvent): PodEvent;
    list(filter?: { readonly object?: string; readonly sinceId?: number }): PodEvent[];
    /** Keeps the newest `keep` and drops the rest. */
    prune(keep: number): void;
  };
  close(): void;
}

export interface TextTable {
  list(): { readonly key: string; readonly text: string }[];
  put(key: string, text: string): void;
  remove(key: string): void;
}

export interface PodFacts {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly createdAt: number;
  /** Counts sandboxes; the next one gets this number. */
  readonly sandboxAttempt: number;
  /** Set once the pod is to go: when its grace ends. */
  readonly deletionDeadline: number | undefined;
  /** Set for a pod that ended for good by decision, not by its containers: DeadlineExceeded, Evicted. */
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
}

export interface ContainerFacts {
  readonly podUid: string;
  readonly name: string;
  readonly specHash: string;
  /** The number the next run gets = how many runs there were. */
  readonly attempt: number;
  readonly restartCount: number;
  /** Consecutive failures, for the backoff. */
  readonly backoffLevel: number;
  readonly backoffUntil: number | undefined;
  /** How the last run ended, kept when the container itself is gone. */
  readonly lastExit: ContainerExit | undefined;
  /** The run before that one: lastState of a container that runs or waits again. */
  readonly previousExit: ContainerExit | undefined;
  /** Of the latest run that has any; kept, so that a restart of ours changes nobody's readiness. */
  readonly checks: ContainerChecks | undefined;
}

/** What the probes and the postStart hook of one run have found so far. */
export interface ContainerChecks {
  readonly containerId: string;
  /** The postStart hook is done, or there is none. */
  readonly postStarted: boolean;
  /** The startup probe has passed, or there is none. */
  readonly startup: boolean;
  /** The readiness probe passes, or there is none. */
  readonly ready: boolean;
  /** When one of these was last found to be otherwise than before. */
  readonly changedAt: number | undefined;
  /** Set once it is to be killed for it. */
  readonly failure: { readonly check: FatalCheck; readonly message: string } | undefined;
}

/** What costs a container its life when it fails. */
export type FatalCheck = "postStart" | "startup" | "liveness";

export interface ContainerExit {
  readonly containerId: string;
  readonly attempt: number;
  readonly exitCode: number;
  /** Completed, Error, OOMKilled, StartError, ContainerStatusUnknown */
  readonly reason: string;
  readonly message: string | undefined;
  readonly startedAt: number | undefined;
  readonly finishedAt: number;
  readonly logPath: string;
  readonly imageDigest: string;
  /** We killed it because this failed: it counts as a failure, whatever its exit code says. */
  readonly killedFor?: { readonly check: FatalCheck; readonly message: string } | undefined;
  /** It was to go on: nobody asked for its end here. */
  readonly unasked?: true;
}

export interface UpdateFacts {
  /** "<namespace>/<name>" of the pod. */
  readonly key: string;
  readonly container: string;
  /** As the manifest names it. */
  readonly image: string;
  readonly state: "rolling" | "rolled-back";
  /** Digest of the image before. */
  readonly from: string;
  /** Digest of the new one; once rolled back, of the one that is not to be tried again. */
  readonly to: string;
  /** When it got into this state. */
  readonly at: number;
  /** By when the new one has to be ready. */
  readonly deadlineAt: number;
  /** Why it was rolled back; else "". */
  readonly reason: string;
}

export interface NewEvent {
  /** "Pod/<namespace>/<name>", "Deployment/<namespace>/<name>", "Node/<name>", "Manifest/<file>" */
  readonly object: string;
  /** Of the pod, or of another object that has one. */
  readonly podUid: string | undefined;
  readonly type: "Normal" | "Warning";
  /** CamelCase, as Kubernetes names them where it does. */
  readonly reason: string;
  readonly message: string;
  readonly at: number;
}

export interface PodEvent extends NewEvent {
  readonly id: number;
  readonly firstAt: number;
  readonly count: number;
}
