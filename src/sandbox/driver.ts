import type { Duplex, Readable, Writable } from "node:stream";
import type { DiskUnit } from "../system/disk-usage.ts";
import type { ContainerConfig, PodIdentity, SandboxConfig } from "./config.ts";
import type { ContainerStats, InterfaceStats, SandboxDiskUsage } from "./usage.ts";

export type * from "./config.ts";
export type * from "./usage.ts";

/**
 * The contract between the pod machine and whatever isolates a pod, in CRI's terms.
 *
 * Ids are chosen by the caller, so every call is idempotent: calling it again after a crash, or after it was
 * aborted half way, finishes what was begun or does nothing. `list` is the only truth about what exists.
 * All durations are ms, all sizes bytes, all times ms since the epoch.
 */
export interface SandboxDriver {
  /** The runtime class that it implements, e.g. "namespace". */
  readonly runtimeClass: string;

  /** Prepares the host (directories, network). Called once, before anything else. @throws host-unsupported */
  start(signal: AbortSignal): Promise<void>;
  /** Lets go of watchers and handles. Disturbs nothing that runs. */
  close(): Promise<void>;

  /** Builds the envelope: network, namespaces, cgroup. A finished one is left as it is. */
  runSandbox(config: SandboxConfig, signal: AbortSignal): Promise<ObservedSandbox>;
  /** Kills every container that is left and takes the network down. An unknown id is fine. */
  stopSandbox(id: string, signal: AbortSignal): Promise<void>;
  /** Removes every trace except logs and volumes. An unknown id is fine; a running sandbox is stopped first. */
  removeSandbox(id: string, signal: AbortSignal): Promise<void>;

  /** Everything up to the app's first instruction. @throws image-missing, runtime-failed, volume-failed */
  createContainer(sandboxId: string, config: ContainerConfig, signal: AbortSignal): Promise<void>;
  /** @throws not-found, runtime-failed (e.g. no such command); a started one is left as it is */
  startContainer(sandboxId: string, containerId: string, signal: AbortSignal): Promise<void>;
  /** Sends `stopSignal`, waits up to `graceMs`, then KILL. Resolves when it is dead. A dead or unknown one is fine. */
  stopContainer(sandboxId: string, containerId: string, stop: StopOptions, signal: AbortSignal): Promise<void>;
  /** Removes its traces (not its log); kills it first where it runs. An unknown id is fine. */
  removeContainer(sandboxId: string, containerId: string, signal: AbortSignal): Promise<void>;

  /** Runs a command in a running container. @throws not-found, runtime-failed */
  exec(sandboxId: string, containerId: string, options: ExecRequest, signal: AbortSignal): Promise<ExecSession>;
  /**
   * Joins the app itself: what it prints from now on, and its stdin where it has one. `exitCode` is the app's; `kill`
   * only lets go of it. @throws not-found, runtime-failed (not running), conflict (input for an app without stdin)
   */
  attach(sandboxId: string, containerId: string, request: AttachRequest, signal: AbortSignal): Promise<ExecSession>;
  /**
   * Connects to a TCP port of the pod from within: to what listens on its loopback address, as all that listens on
   * every address does. An end of one direction is passed on. @throws GantryError not-found, conflict (it does not run),
   * network-failed (nothing listens), unsupported (too many at once, or a VM of an earlier version)
   */
  forwardPort(sandboxId: string, port: number, signal: AbortSignal): Promise<Duplex>;
  /** After its log file was renamed: go on in a new one at the same path, losing no line. */
  reopenLog(sandboxId: string, containerId: string): Promise<void>;
  stats(sandboxId: string, containerId: string): Promise<ContainerStats>;
  /** What the sandbox as a whole takes of the host: of a virtual machine all of it. @throws not-found (it does not run) */
  podStats(sandboxId: string): Promise<ContainerStats>;
  /** What went through the pod's interfaces; none with hostNetwork, and while nothing runs in it. */
  networkStats(sandboxId: string): Promise<InterfaceStats[]>;
  /** What a sandbox has on disk, as far as that can be told now. */
  diskUsage(sandboxId: string, unit: DiskUnit): Promise<SandboxDiskUsage>;

  /**
   * Every sandbox that exists in any state, half-built and stale ones too. Cheap: called every few seconds.
   * @param wanted tells by its id whether a sandbox is wanted; default: all
   */
  list(wanted?: (id: string) => boolean): Promise<ObservedSandbox[]>;
  /**
   * Puts back what was changed behind its back of sandboxes that run, such as a pause or a limit, and says what. Cheap:
   * called every few seconds. Absent where nobody can do that.
   */
  mend?(): Promise<readonly Mended[]>;
  /** Calls `listener` when something may have changed. A hint to look again; may be missed or doubled. */
  watch(listener: (hint: ObservationHint) => void): () => void;
  /** Removes what belongs to no sandbox that `list` shows (leases, netns, mounts, cgroups); says what. */
  collectGarbage(signal: AbortSignal): Promise<string[]>;
}

export interface StopOptions {
  /** Default SIGTERM, or what the image says. */
  readonly stopSignal?: string;
  readonly graceMs: number;
}

export interface ExecRequest {
  readonly command: readonly string[];
  readonly tty: boolean;
  readonly stdin: boolean;
}

export interface AttachRequest {
  readonly stdin: boolean;
}

export interface ExecSession {
  /** Absent unless asked for. */
  readonly stdin?: Writable;
  readonly stdout: Readable;
  /** Absent with a tty: there is one stream then. */
  readonly stderr?: Readable;
  /** Does nothing without a tty. */
  resize(columns: number, rows: number): void;
  /** Resolves once the command has ended and its output was read; 128+n for a signal. */
  readonly exitCode: Promise<number>;
  kill(): void;
}

export interface Mended {
  readonly sandboxId: string;
  /** For people, with the container's name: "container app: it was paused by hand; it goes on". */
  readonly what: string;
}

export interface ObservationHint {
  readonly sandboxId: string;
}

export interface ObservedSandbox {
  readonly id: string;
  readonly runtimeClass: string;
  readonly pod: PodIdentity;
  readonly attempt: number;
  /** `ready`: containers can run in it. `not-ready`: half-built, stopped, damaged, or from before a reboot. */
  readonly state: "ready" | "not-ready";
  readonly createdAt: number;
  /**
   * What is wrong with it, for people: why it is not ready although nobody stopped it, or that it does not answer.
   * A clause without a full stop.
   */
  readonly problem?: string;
  /** Empty with hostNetwork. */
  readonly ips: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  readonly containers: readonly ObservedContainer[];
  /** What `describe` shows: OCI runtime, netns, accelerator … */
  readonly detail: Readonly<Record<string, string>>;
}

export interface ObservedContainer {
  readonly id: string;
  readonly name: string;
  readonly attempt: number;
  readonly specHash: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly imageDigest: string;
  readonly imageName: string;
  readonly logPath: string;
  /** `unknown`: half-created, or lost together with its exit code. */
  readonly state: "created" | "running" | "exited" | "unknown";
  readonly createdAt: number;
  readonly startedAt?: number;
  readonly finishedAt?: number;
  /** 128+n for signal n. Only when exited. */
  readonly exitCode?: number;
  readonly oomKilled?: boolean;
  /** What the app wrote to its termination message path; at most 4096 bytes. Only when exited. */
  readonly terminationMessage?: string;
  readonly pid?: number;
}
