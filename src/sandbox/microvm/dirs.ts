import { join } from "node:path";
import type { Paths } from "../../system/paths.ts";
import { VM_FILES } from "./qemu/args.ts";

/** Where the driver keeps what. */
export interface Dirs {
  /** One directory per sandbox: record, pinned network namespace, sockets, and one directory per container. */
  readonly sandboxes: string;
  /** Kernel, agent and initramfs; survives a reboot. */
  readonly boot: string;
  /** Scratch disks, which lose their names when their VM starts. On disk, since /run eats memory. */
  readonly scratch: string;
  /** What disks without an image are. */
  readonly emptyDisk: string;
  /** An EROFS file with nothing in it, which VMs rehearse with. */
  readonly emptyImage: string;
  /** The parent of all cgroups of this root, as seen from the root of each hierarchy. */
  readonly cgroup: string;
  /** Memory and state of templates. On tmpfs wherever there is one: clones map them. */
  readonly templates: string;
}

export function driverDirs(paths: Paths): Dirs {
  return {
    sandboxes: join(paths.run, "vms"),
    boot: join(paths.lib, "microvm"),
    scratch: join(paths.lib, "scratch"),
    emptyDisk: join(paths.run, "empty-disk"),
    emptyImage: join(paths.run, "empty-image"),
    cgroup: paths.rootId === "" ? "/gantry" : `/gantry-${paths.rootId}`,
    templates: join("/dev/shm", paths.rootId === "" ? "gantry-templates" : `gantry-templates-${paths.rootId}`),
  };
}

/** The cgroup of a VM, from the root of each hierarchy. */
export function vmCgroup(dirs: Dirs, sandboxId: string): string {
  return `${dirs.cgroup}/${VM_CGROUP}${sandboxId}`;
}

/** Where a sandbox's VM is: one that came from standby keeps the cgroup it had there. */
export function cgroupOf(dirs: Dirs, { config, cgroup }: { config: { id: string }; cgroup?: string }): string {
  return cgroup === undefined ? vmCgroup(dirs, config.id) : `${dirs.cgroup}/${cgroup}`;
}

/** What the names of directories begin with whose VMs wait for a pod. Names with a dot are no sandboxes. */
export const STANDBY = ".standby-";

/** What the names of those cgroups begin with. */
export const VM_CGROUP = "vm-";

export interface SandboxFiles {
  readonly root: string;
  readonly record: string;
  readonly net: string;
  readonly qmp: string;
  readonly agent: string;
  /** Where files are passed on to QEMU. */
  readonly jailer: string;
  readonly console: string;
  /** How the VM ended that was not stopped. */
  readonly end: string;
  /** QEMU's process id, as the host sees it. */
  readonly pid: string;
  /** What QEMU itself has to say. */
  readonly log: string;
  readonly containers: string;
}

export function sandboxFiles(dirs: Dirs, id: string): SandboxFiles {
  const root = join(dirs.sandboxes, id);
  return {
    root,
    record: join(root, "sandbox.json"),
    net: join(root, "net"),
    qmp: join(root, VM_FILES.qmp),
    agent: join(root, VM_FILES.agent),
    jailer: join(root, VM_FILES.jailer),
    console: join(root, VM_FILES.console),
    end: join(root, "end.json"),
    pid: join(root, VM_FILES.pid),
    log: join(root, VM_FILES.log),
    containers: join(root, "containers"),
  };
}

export interface ContainerFiles {
  readonly root: string;
  readonly record: string;
  /** Who its processes run as, for exec. */
  readonly process: string;
  /** How it ended; written once, when that is seen. */
  readonly exit: string;
}

export function containerFiles(dirs: Dirs, sandboxId: string, id: string): ContainerFiles {
  const root = join(dirs.sandboxes, sandboxId, "containers", id);
  return {
    root,
    record: join(root, "container.json"),
    process: join(root, "process.json"),
    exit: join(root, "exit.json"),
  };
}
