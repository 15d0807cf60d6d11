/** What a sandbox and a container are made from, as the pod machine tells it to a driver. */
import type { SeccompProfile } from "../confine/seccomp-profile.ts";

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
