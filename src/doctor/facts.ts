/** What was found out about a host: data only, so that the checks can be tried on hosts that we don't have. */
export interface HostFacts {
  readonly uid: number;
  /** Effective capabilities of this process, the mask of capabilities(7). */
  readonly capabilities: bigint;
  /** "6.1.0-18-amd64" */
  readonly kernelRelease: string;
  /** From uname: "x86_64". */
  readonly machine: string;
  readonly features: KernelFeatures;
  readonly confinement: ConfinementFacts;
  readonly cgroups: CgroupFacts;
  readonly limits: LimitFacts;
  readonly disks: readonly DiskFacts[];
  /** ms since the epoch. */
  readonly now: number;
  readonly tools: ToolFacts;
  readonly runtimes: readonly RuntimeFact[];
  readonly network: NetworkFacts;
  readonly kvm: KvmFacts;
  readonly microvm: MicrovmFacts;
  readonly daemon: DaemonFacts;
}

/** `unknown`: it takes root to find out, or a module that may load by itself. */
export type Presence = "yes" | "no" | "unknown";

export interface KernelFeatures {
  readonly overlay: Presence;
  readonly erofs: Presence;
  readonly bridge: Presence;
  readonly veth: Presence;
  readonly nftables: Presence;
  readonly seccompFilter: Presence;
}

/** What confines containers and belongs to the host. */
export interface ConfinementFacts {
  /** "no-parser": the kernel has it, but nothing loads a profile. */
  readonly appArmor: "enabled" | "no-parser" | "absent";
  readonly seLinux: "enforcing" | "permissive" | "absent";
  readonly seccompProfiles: {
    readonly folder: string;
    /** By their paths below the folder. */
    readonly sound: readonly string[];
    readonly damaged: readonly { readonly name: string; readonly why: string }[];
  };
}

export interface CgroupFacts {
  /** As mounted at /sys/fs/cgroup; hybrid: v1 hierarchies with a v2 one beside them. */
  readonly mode: "v2" | "v1" | "hybrid" | "none";
  /** Controllers with a mounted v1 hierarchy. */
  readonly v1: readonly string[];
  /** Controllers that the v2 hierarchy offers. */
  readonly v2: readonly string[];
  /** Controllers that the kernel has (/proc/cgroups), whether mounted or not. */
  readonly enabled: readonly string[];
}

export interface LimitFacts {
  /** user.max_user_namespaces; undefined: the kernel has none. */
  readonly userNamespaces: number | undefined;
  readonly inotifyInstances: number | undefined;
  readonly inotifyWatches: number | undefined;
  readonly pidMax: number | undefined;
}

export interface DiskFacts {
  /** What it is for: "images and volumes". */
  readonly use: string;
  readonly path: string;
  readonly freeBytes: number;
  readonly freeInodes: number;
  readonly totalInodes: number;
  readonly writable: boolean;
}

export interface ToolFacts {
  /** Debian's package of each tool that is missing, by tool. */
  readonly missing: readonly {
    readonly tool: string;
    readonly purpose: string;
    readonly package: string | undefined;
  }[];
  readonly versions: Readonly<Record<string, string>>;
  /** Complete command that installs what is missing; undefined on a distribution that we don't know. */
  readonly install: string | undefined;
}

export interface RuntimeFact {
  readonly name: string;
  readonly version: string | undefined;
  /** "unknown": it takes root to try. */
  readonly usable: Presence;
  readonly why: string | undefined;
}

export interface NetworkFacts {
  readonly pluginFolders: readonly string[];
  readonly plugins: readonly string[];
  /** Plugins that the network in use needs. */
  readonly needed: readonly string[];
  readonly conflist: { readonly file: string; readonly name: string; readonly own: boolean } | undefined;
  /** Why the conflist can't be used. */
  readonly conflistError: string | undefined;
  readonly forwarding: boolean;
  /** Tables that drop what they don't know on its way through the host: "inet filter". iptables' own are left out. */
  readonly droppingTables: readonly string[];
  readonly subnet: string;
  /** A route of the host in the pods' range: "10.77.0.0/16 dev tun0". */
  readonly conflictingRoute: string | undefined;
  /** Where Services get their addresses from, or why they get none. */
  readonly services: { readonly range: string } | { readonly trouble: string };
  /** What keeps the name server from its port. */
  readonly dnsObstacle: string | undefined;
}

export interface KvmFacts {
  readonly device: "usable" | "denied" | "missing";
  /** "vmx" or "svm". */
  readonly cpuFlag: string | undefined;
  readonly modules: readonly string[];
  /** This host is a virtual machine itself. */
  readonly virtual: boolean;
}

export interface MicrovmFacts {
  readonly qemu: { readonly path: string; readonly version: string } | undefined;
  /** `microvm.qemu`, when it is set. */
  readonly qemuSetting: string | undefined;
  /** "absent": it is fetched when it is first needed. */
  readonly kernel: { readonly name: string } | { readonly wrong: string; readonly mend: string } | "absent";
  /** "compilable": it is not there yet, but a compiler is. */
  readonly agent: "ready" | "compilable" | "no-compiler";
  /** Whether the distribution's kernel can be fetched here: Debian's tools are there. */
  readonly fetchable: boolean;
  readonly accelerator: { readonly used: "kvm" | "tcg"; readonly why: string } | "untried";
  /** /dev/net/tun is there. */
  readonly tun: boolean;
  /** Packets can be redirected from one interface to another (tc: ingress, u32, mirred). */
  readonly redirect: Presence;
  /** Bytes that are free on the tmpfs for templates; undefined: there is none. */
  readonly templateBytes: number | undefined;
}

export interface DaemonFacts {
  readonly pid: number | undefined;
  readonly answers: boolean;
  /** Conditions of the node that say it is short of something: "DiskPressure". */
  readonly pressure: readonly string[];
  /** What is on this host although no daemon runs. */
  readonly leftovers: readonly string[];
  /** The API over TLS; undefined when api.listen is not set. */
  readonly api?: ApiFacts | undefined;
}

export interface ApiFacts {
  /** "127.0.0.1:6443" */
  readonly listen: string;
  /** free: nobody listens there; gantry: this root's daemon does; taken: somebody else. */
  readonly port: "free" | "gantry" | "taken";
  /** When the server's certificate ends, ms since the epoch; undefined: there is none yet. */
  readonly certificateEnds: number | undefined;
  readonly openssl: boolean;
}
