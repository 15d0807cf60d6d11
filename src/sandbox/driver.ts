import type { Duplex, Readable, Writable } from "node:stream";
import type { SeccompProfile } from "../confine/seccomp-profile.ts";
import type { DiskUnit } from "../system/disk-usage.ts";

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

export interface PodIdentity {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
}

export interface PortMapping {
  readonly hostIP?: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: "TCP" | "UDP" | "SCTP";
}

export interface SandboxConfig {
  /** Unique among all sandboxes ever made under a root; [a-z0-9-], at most 63 characters. */
  readonly id: string;
  readonly pod: PodIdentity;
  /** Counts the sandboxes of one pod uid, from 0. */
  readonly attempt: number;
  /** Kept and handed back by `list`: the hash of what this sandbox was made from, among others. */
  readonly labels: Readonly<Record<string, string>>;
  /** The OCI runtime that a RuntimeClass's handler names (crun, runc, or an absolute path); absent: the driver's choice. */
  readonly runtimeHandler?: string;
  readonly hostname: string;
  /** Names of the pod's addresses in /etc/hosts. Default: the hostname. */
  readonly hostNames?: readonly string[];
  readonly hostNetwork: boolean;
  readonly hostPID: boolean;
  readonly hostIPC: boolean;
  /** False: the pod gets a user namespace of its own. */
  readonly hostUsers: boolean;
  readonly shareProcessNamespace: boolean;
  readonly portMappings: readonly PortMapping[];
  readonly dns: DnsConfig;
  readonly hostAliases: readonly { readonly ip: string; readonly hostnames: readonly string[] }[];
  readonly sysctls: Readonly<Record<string, string>>;
  /** Limits of the pod as a whole (its cgroup). */
  readonly resources: ContainerResources;
  readonly volumes: readonly PreparedVolume[];
  /** What its containers may use together, for a driver that has to set it aside: limits, else requests. */
  readonly demand?: PodDemand;
  /** Only of use to a driver that makes virtual machines. */
  readonly vm?: VmOptions;
  /**
   * Containers that will be created in it right away. A hint: a driver may create them while the network still comes
   * up. Whatever comes of that, each is asked for again by createContainer, unless `list` shows it created.
   */
  readonly begin?: readonly ContainerConfig[];
}

/** `open`: some container has neither limit nor request. `limitBytes`: the pod itself says that it may have no more. */
export interface PodDemand {
  readonly memory: { readonly bytes: number; readonly open: boolean; readonly limitBytes?: number };
  readonly cpu: { readonly milli: number; readonly open: boolean };
}

/** What a pod asks of its virtual machine; whatever is absent is for the node's settings to say. */
export interface VmOptions {
  /** Memory of the machine as a whole, in MiB. */
  readonly memoryMiB?: number;
  readonly vcpus?: number;
  /** Absolute path of a kernel on the host. */
  readonly kernel?: string;
  /** Absolute path of an initramfs on the host, whose /init is the agent. */
  readonly initramfs?: string;
  /** QEMU's machine type. */
  readonly machine?: VmMachine | "auto";
  readonly accelerator?: VmAccelerator | "auto";
}

export type VmMachine = "q35" | "microvm";
export type VmAccelerator = "kvm" | "tcg";

export type DnsConfig =
  /** The host's own resolv.conf. */
  | { readonly policy: "host" }
  | {
      readonly policy: "custom";
      readonly nameservers: readonly string[];
      readonly searches: readonly string[];
      readonly options: readonly string[];
    };

/** Volumes whose files Gantry writes, on disk or in memory (projected and downwardAPI, too): no app may write to them, and they are replaced while the pod runs. */
export type GeneratedKind = "configMap" | "secret";

/** A volume that the volume manager has made ready on the host. */
export interface PreparedVolume {
  readonly name: string;
  readonly kind: "emptyDir" | "hostPath" | "image" | "claim" | GeneratedKind;
  /** A directory, or for hostPath possibly a file, socket or device. A claim's is mounted. */
  readonly hostPath: string;
  readonly medium?: "Memory";
  readonly sizeLimitBytes?: number;
  /** Of an emptyDir: the group that it and all that is made in it belong to. */
  readonly gid?: number;
  /** No container of the pod writes to it. */
  readonly readOnly?: boolean;
  /** Of an image volume: config digest of an image in the store. */
  readonly imageDigest?: string;
}

export interface ContainerMount {
  /** The name of one of the sandbox's volumes. */
  readonly volume: string;
  readonly mountPath: string;
  /**
   * What is mounted of the volume; nothing that an app does to the volume can make it lead out. A directory is made
   * where there is nothing, unless it is a volume that no app writes to. Relative, without "..".
   */
  readonly subPath?: string;
  readonly readOnly: boolean;
  readonly propagation: "None" | "HostToContainer" | "Bidirectional";
}

export interface ContainerConfig {
  /** Unique among all containers ever made under a root; [a-z0-9-], at most 63 characters. */
  readonly id: string;
  readonly name: string;
  /** Counts the runs of this container within its pod uid, from 0. */
  readonly attempt: number;
  /** The hash of the container's spec, handed back by `list`. */
  readonly specHash: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Config digest of an image in the store, e.g. "sha256:…". */
  readonly imageDigest: string;
  /** The name that the manifest used, for people. */
  readonly imageName: string;
  /** The final argv; never empty. */
  readonly argv: readonly string[];
  readonly workingDir: string;
  readonly env: readonly { readonly name: string; readonly value: string }[];
  readonly mounts: readonly ContainerMount[];
  readonly user: ContainerUser;
  readonly security: ContainerSecurity;
  readonly resources: ContainerResources;
  /**
   * `closed`: the app reads an end of file at once. `once`: it is closed for good when the first client that attached
   * to it leaves or ends its input. `kept`: it stays open, whoever comes and goes.
   */
  readonly stdin: "closed" | "once" | "kept";
  /** The app has a terminal: one stream for all it prints. */
  readonly tty: boolean;
  /** Written by the app, at most 4096 bytes are read after its end; absolute path in the container. */
  readonly terminationMessagePath: string;
  /** Absolute path of the CRI log file on the host; its directory is made by the driver. */
  readonly logPath: string;
}

/** Who the app runs as. `name` is looked up in the image's /etc/passwd; uid and gid win over it. */
export interface ContainerUser {
  readonly uid?: number;
  readonly gid?: number;
  /** From the image: "user", "user:group", "1000:1000". */
  readonly name?: string;
  readonly supplementalGroups: readonly number[];
  /** The groups in which the image's /etc/group lists the user are not his. */
  readonly onlyTheseGroups?: boolean;
}

export interface ContainerSecurity {
  readonly privileged: boolean;
  readonly noNewPrivileges: boolean;
  readonly readOnlyRootFilesystem: boolean;
  /** Names without CAP_, or "ALL". drop is applied first, then add. */
  readonly capabilities: { readonly add: readonly string[]; readonly drop: readonly string[] };
  readonly seccomp: SeccompChoice;
  /** Nothing of /proc and /sys is hidden or kept from being written; root may do there what its user namespace lets it. */
  readonly unmasked?: boolean;
  /** The name of an AppArmor profile that the host's kernel has. */
  readonly appArmorProfile?: string;
  readonly seLinux?: SeLinuxLabels;
}

export type SeccompChoice =
  | { readonly type: "RuntimeDefault" | "Unconfined" }
  | { readonly type: "Localhost"; readonly profile: SeccompProfile };

/** user:role:type:level */
export interface SeLinuxLabels {
  readonly process: string;
  /** Of all files that the pod has to itself. */
  readonly files: string;
}

export interface ContainerResources {
  /** Relative weight, cgroup v1 scale (2–262144). */
  readonly cpuShares?: number;
  /** µs of CPU per period. */
  readonly cpuQuotaUs?: number;
  readonly cpuPeriodUs?: number;
  readonly memoryLimitBytes?: number;
  readonly pidsLimit?: number;
  readonly oomScoreAdj?: number;
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

export interface ContainerStats {
  readonly timestamp: number;
  /** ns of CPU time used since the start. */
  readonly cpuUsageNs: number;
  readonly memoryBytes: number;
  /** With the file cache; absent where only the working set is known, as from the agent of an earlier version. */
  readonly memoryUsageBytes?: number;
  /** What is no copy of a file. */
  readonly memoryRssBytes?: number;
  /** Copies of files. */
  readonly memoryCacheBytes?: number;
  readonly processes: number;
  /** Absent where nothing limits its CPU time, or that is not told. */
  readonly throttling?: CpuThrottling;
  /** Absent where the host does not count it; of a virtual machine only the host knows, so only `podStats` has it. */
  readonly disk?: DiskTraffic;
}

/** How the kernel keeps to a CPU limit: once in every period a container may use its share. */
export interface CpuThrottling {
  readonly periods: number;
  /** Those in which it had to wait … */
  readonly throttledPeriods: number;
  /** … and how long, over all. ns */
  readonly throttledNs: number;
}

/** Since the start, as it reached the disks. */
export interface DiskTraffic {
  readonly readBytes: number;
  readonly writtenBytes: number;
  readonly reads: number;
  readonly writes: number;
}

/** One direction of an interface, since it was made. */
export interface Traffic {
  readonly bytes: number;
  readonly packets: number;
  readonly errors: number;
  readonly dropped: number;
}

export interface InterfaceStats {
  /** "eth0" */
  readonly name: string;
  /** As the pod sees it: what came to it … */
  readonly received: Traffic;
  /** … and what it sent. */
  readonly sent: Traffic;
}

/** Bytes or inodes. */
export interface SandboxDiskUsage {
  /** In emptyDirs that are not below their path on the host, by the name of the volume. */
  readonly volumes: ReadonlyMap<string, number>;
  /** In the writable layers of containers, by their ids. */
  readonly containers: ReadonlyMap<string, number>;
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
