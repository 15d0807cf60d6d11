/** What a machine reaches the world through. */
import type { ObservedContainer, ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerChecks, ContainerFacts, PodFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import type { Backoff } from "../rules/backoff.ts";
import type { Check, Finding } from "../rules/checks.ts";
import type { Hold } from "../rules/container-state.ts";
import type { FactsByName } from "../rules/exits.ts";
import type { Slot } from "../rules/slots.ts";
import type { Placed } from "../rules/world.ts";

/** Work on a part of the pod that goes on beside everything else. `key` is unique among what is in flight. */
export type Job =
  /** Makes and starts a new run; `facts` already hold its number. `discard` is what must be gone before. */
  | {
      readonly type: "start";
      readonly key: string;
      readonly slot: Slot;
      readonly facts: ContainerFacts;
      readonly sandbox: ObservedSandbox;
      readonly discard: readonly Placed[];
    }
  /** Only starts: everything before was done by a daemon that was killed. */
  | {
      readonly type: "resume";
      readonly key: string;
      readonly slot: Slot;
      readonly facts: ContainerFacts;
      readonly sandbox: ObservedSandbox;
      readonly container: ObservedContainer;
    }
  /** Stops a run of an outdated spec, once all that its successor needs is there. */
  | {
      readonly type: "replace";
      readonly key: string;
      readonly slot: Slot;
      readonly sandbox: ObservedSandbox;
      readonly placed: Placed;
      readonly graceMs: number;
    }
  | {
      readonly type: "stop";
      readonly key: string;
      readonly placed: Placed;
      readonly graceMs: number;
      /** Its preStop hook, if it has one, comes first, in the same grace. False: it is done, or its time is up. */
      readonly preStop: boolean;
      /** Why, if not because the pod ends. */
      readonly why: string | undefined;
    }
  /** While the pod ends: the hook alone, for no longer than `limitMs`; TERM follows when it is the container's turn. */
  | { readonly type: "preStop"; readonly key: string; readonly placed: Placed; readonly limitMs: number }
  /** Removes traces of old runs, and logs of container `name` from before run `keepLogsFrom[name]`. */
  | {
      readonly type: "cleanup";
      readonly key: string;
      readonly containers: readonly Placed[];
      readonly keepLogsFrom: Readonly<Record<string, number>>;
      /** Containers that the spec no longer has. */
      readonly forget: readonly string[];
    }
  | { readonly type: "look"; readonly key: string }
  /** Brings configMap and secret volumes up to date. */
  | { readonly type: "refresh"; readonly key: string }
  /** Measures what the pod has on disk. */
  | { readonly type: "usage"; readonly key: string }
  /** Removes what an evicted pod has on disk, but its logs. */
  | { readonly type: "release"; readonly key: string }
  /** Reads the end of a log for a termination message. */
  | {
      readonly type: "tail";
      readonly key: string;
      readonly name: string;
      readonly attempt: number;
      readonly logPath: string;
    };

export type JobResult =
  | {
      readonly type: "started";
      readonly name: string;
      readonly sandboxId: string;
      readonly container: ObservedContainer;
    }
  | { readonly type: "stopped"; readonly name: string; readonly containerId: string }
  | { readonly type: "hooked"; readonly containerId: string }
  | { readonly type: "cleaned"; readonly ids: readonly string[]; readonly forgotten: readonly string[] }
  | { readonly type: "looked"; readonly sandboxes: readonly ObservedSandbox[] }
  | { readonly type: "refreshed" }
  /** `over` says which limit the pod is over, if it is. */
  | { readonly type: "measured"; readonly over: string | undefined }
  | { readonly type: "released" }
  | { readonly type: "message"; readonly name: string; readonly attempt: number; readonly message: string };

export interface JobFailure {
  /** As Kubernetes words it for a container that waits: CreateContainerError … */
  readonly reason: string;
  readonly message: string;
  /** Set when the container was made but could not be started: that counts as a run. */
  readonly startError?: { readonly containerId: string; readonly logPath: string; readonly imageDigest: string };
}

/** Thrown by a state's own work; `holds` says which containers it concerns, when it is not all of them. */
export interface WorkFailure {
  readonly reason: string;
  readonly message: string;
  readonly containers: Readonly<Record<string, Pick<Hold, "reason" | "message">>>;
}

/** A container that runs, and what is to be watched about it. */
export interface CheckTarget {
  readonly slot: Slot;
  readonly container: ObservedContainer;
  readonly sandboxId: string;
  /** Where the pod is asked; undefined while it has no address. */
  readonly ip: string | undefined;
  readonly active: readonly Check[];
  /** What was found so far. */
  readonly checks: ContainerChecks;
}

/** The probes and postStart hooks of one pod, at work beside its machine. */
export interface CheckRunner {
  /** From now on just these go on: others are begun, the rest is called off. */
  watch(targets: readonly CheckTarget[], desired: DesiredPod): void;
  close(): void;
}

export interface PodView {
  readonly desired: DesiredPod;
  readonly pod: PodFacts;
  readonly facts: FactsByName;
  readonly known: readonly ObservedSandbox[];
}

export interface PodEnv {
  /** How containers that end are restarted. */
  backoff(desired: DesiredPod): Backoff;
  now(): number;
  /** Never throws. */
  event(desired: DesiredPod, type: "Normal" | "Warning", reason: string, message: string): void;
  /** Words whatever a job or a state's work threw. */
  jobFailure(error: unknown): JobFailure;
  workFailure(error: unknown): WorkFailure;
  /** Where a pod in that sandbox is reached from here; undefined when it has no address. */
  podIp(desired: DesiredPod, sandbox: ObservedSandbox): string | undefined;
  /** @param report what is newly found */
  openChecks(report: (finding: Finding) => void): CheckRunner;
  /** Ends what is still at work for a machine that broke, and so ends nothing itself. */
  close(): void;
  /** @param report facts that were saved half way */
  run(job: Job, view: PodView, report: (facts: ContainerFacts) => void, signal: AbortSignal): Promise<JobResult>;

  /** Images and volumes. */
  prepare(view: PodView, signal: AbortSignal): Promise<void>;
  /** @returns the sandbox, and the facts about containers that were created along with it */
  runSandbox(
    view: PodView,
    signal: AbortSignal,
  ): Promise<{ readonly sandbox: ObservedSandbox; readonly facts: FactsByName }>;
  /** Waits for work that was cut short, then looks. */
  settle(view: PodView, signal: AbortSignal): Promise<readonly ObservedSandbox[]>;
  /** Stops the sandboxes, then looks. */
  stopSandboxes(view: PodView, signal: AbortSignal): Promise<readonly ObservedSandbox[]>;
  /** Removes the sandboxes, after the facts about what ran in them are safe. */
  removeSandboxes(view: PodView, signal: AbortSignal): Promise<void>;
  /** Removes every trace of the pod. */
  teardown(view: PodView, signal: AbortSignal): Promise<void>;
}
