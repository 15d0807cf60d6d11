import type { ContainerMount, PreparedVolume } from "../../driver.ts";
import type { OciMount } from "./types.ts";

export interface MountFacts {
  readonly privileged: boolean;
  readonly hostPID: boolean;
  readonly hostNetwork: boolean;
  /** The pod has a user namespace of its own. */
  readonly userNamespace: boolean;
  /** The runtime maps the owners of a bind mount into the user namespace ("idmap" option). */
  readonly idmap: boolean;
  /** A tmpfs of the pod, or the host's /dev/shm. */
  readonly shm: string;
  /** Files of the pod by the path at which the app sees them: /etc/hosts and the like. */
  readonly files: Readonly<Record<string, string>>;
  /** Files of ours that the app may write to. */
  readonly writableFiles: Readonly<Record<string, string>>;
  readonly volumes: readonly PreparedVolume[];
  readonly mounts: readonly ContainerMount[];
  /** Where what has a subPath is, by the path at which the app sees it. */
  readonly subPaths: ReadonlyMap<string, string>;
}

/** Everything to be mounted, in order. A mount of the user's on one of our paths takes the place of ours. */
export function containerMounts(facts: MountFacts): OciMount[] {
  const taken = new Set(facts.mounts.map((mount) => normalise(mount.mountPath)));
  const system = systemMounts(facts).filter((mount) => !taken.has(mount.destination));
  const files = [
    ...Object.entries(facts.files).map(([destination, source]) => bind(source, destination, ["ro"])),
    ...Object.entries(facts.writableFiles).map(([destination, source]) => bind(source, normalise(destination), ["rw"])),
  ].filter((mount) => !taken.has(mount.destination));
  return [...system, ...volumeMounts(facts), ...files];
}

/** The kernel's file systems as Docker, containerd and CRI-O mount them. */
function systemMounts(facts: MountFacts): OciMount[] {
  const access = facts.privileged ? "rw" : "ro";
  // The kernel lets a user namespace mount sysfs only together with a network namespace of its own.
  const sys: OciMount =
    facts.userNamespace && facts.hostNetwork
      ? bind("/sys", "/sys", ["rbind", "nosuid", "noexec", "nodev", access])
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: ["nosuid", "noexec", "nodev", access] };
  const proc: OciMount =
    facts.userNamespace && facts.hostPID
      ? bind("/proc", "/proc", ["rbind", "nosuid", "noexec", "nodev"])
      : { destination: "/proc", type: "proc", source: "proc", options: ["nosuid", "noexec", "nodev"] };
  return [
    proc,
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: ["nosuid", "noexec", "nodev"] },
    sys,
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: ["nosuid", "noexec", "nodev", "relatime", access],
    },
    bind(facts.shm, "/dev/shm", ["nosuid", "noexec", "nodev", "rw"]),
  ];
}

/** Shallow paths first, so that /data does not hide /data/sub. */
function volumeMounts(facts: MountFacts): OciMount[] {
  const byName = new Map(facts.volumes.map((volume) => [volume.name, volume]));
  return [...facts.mounts]
    .sort((a, b) => depth(a.mountPath) - depth(b.mountPath))
    .flatMap((mount) => {
      const volume = byName.get(mount.volume);
      if (!volume) return [];
      const options = [
        ...["rbind", PROPAGATION[mount.propagation], mount.readOnly || volume.readOnly === true ? "ro" : "rw"],
        ...(volume.kind === "image" ? ["nosuid", "nodev", "noexec"] : []),
      ];
      return [
        {
          destination: normalise(mount.mountPath),
          type: "bind",
          source: facts.subPaths.get(mount.mountPath) ?? volume.hostPath,
          options: facts.idmap ? [...options, "idmap"] : options,
        },
      ];
    });
}

const PROPAGATION: Readonly<Record<ContainerMount["propagation"], string>> = {
  None: "rprivate",
  HostToContainer: "rslave",
  Bidirectional: "rshared",
};

/** What the root mount must be so that the mounts below it can propagate. Undefined: the runtime's default. */
export function rootPropagation(mounts: readonly ContainerMount[]): string | undefined {
  if (mounts.some((mount) => mount.propagation === "Bidirectional")) return "rshared";
  if (mounts.some((mount) => mount.propagation === "HostToContainer")) return "rslave";
  return undefined;
}

function bind(source: string, destination: string, options: readonly string[]): OciMount {
  const all = options.includes("rbind") ? options : ["bind", "rprivate", ...options];
  return { destination, type: "bind", source, options: all };
}

function normalise(path: string): string {
  return `/${path.split("/").filter(Boolean).join("/")}`;
}

function depth(path: string): number {
  return path.split("/").filter(Boolean).length;
}

/** Parts of /proc and /sys that tell about, or act on, the host. The list of containerd and CRI-O. */
export const MASKED_PATHS: readonly string[] = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

export const READONLY_PATHS: readonly string[] = [
  "/proc/bus",
  "/proc/fs",
  "/proc/irq",
  "/proc/sys",
  "/proc/sysrq-trigger",
];
