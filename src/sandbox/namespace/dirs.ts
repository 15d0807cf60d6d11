import { join } from "node:path";
import type { Paths } from "../../system/paths.ts";

/** Where the driver keeps what. Below `run` is gone after a reboot, or stale; below `lib` are the writable layers. */
export interface Dirs {
  readonly run: string;
  /** One directory per sandbox; a private mount, so that pinned namespaces leak into no other mount namespace. */
  readonly sandboxes: string;
  /** conmon writes the exit code of a container here, one file each. */
  readonly exits: string;
  /** One state directory per OCI runtime. */
  readonly runtimes: string;
  readonly preflight: string;
  /** Writable layers: one directory per sandbox, one per container in it. On disk, since /run eats memory. */
  readonly layers: string;
  /**
   * Roots of containers in user namespaces. Their runtimes look them up as a user who may not enter our directories
   * (nor /root, where a checkout may be), so these mount points are elsewhere.
   */
  readonly publicRoots: string;
  /** The parent of all our cgroups, as seen from the root of each hierarchy: "/gantry" or "/gantry-<rootId>". */
  readonly cgroup: string;
}

export function driverDirs(paths: Paths): Dirs {
  return {
    run: paths.run,
    sandboxes: join(paths.run, "sandboxes"),
    exits: join(paths.run, "exits"),
    runtimes: join(paths.run, "oci"),
    preflight: join(paths.run, "preflight.json"),
    layers: join(paths.lib, "sandboxes"),
    publicRoots: paths.rootId === "" ? "/run/gantry-userns" : `/run/gantry-userns-${paths.rootId}`,
    cgroup: paths.rootId === "" ? "/gantry" : `/gantry-${paths.rootId}`,
  };
}

export interface SandboxFiles {
  readonly root: string;
  readonly record: string;
  readonly net: string;
  readonly ipc: string;
  readonly uts: string;
  readonly user: string;
  readonly shm: string;
  readonly hosts: string;
  readonly resolvConf: string;
  readonly hostname: string;
  readonly pause: string;
  readonly containers: string;
  readonly layers: string;
}

/** Put together without `join`: a look at all sandboxes asks for them a thousand times, and `join` takes 20 µs for these. */
export function sandboxFiles(dirs: Dirs, id: string): SandboxFiles {
  const root = `${dirs.sandboxes}/${id}`;
  return {
    root,
    record: `${root}/sandbox.json`,
    net: `${root}/net`,
    ipc: `${root}/ipc`,
    uts: `${root}/uts`,
    user: `${root}/user`,
    shm: `${root}/shm`,
    hosts: `${root}/hosts`,
    resolvConf: `${root}/resolv.conf`,
    hostname: `${root}/hostname`,
    pause: `${root}/pause`,
    containers: `${root}/containers`,
    layers: `${dirs.layers}/${id}`,
  };
}

export interface ContainerFiles {
  /** Also the OCI bundle, and where conmon has its fifos. */
  readonly root: string;
  readonly record: string;
  readonly spec: string;
  readonly rootfs: string;
  /** Where the root is mounted instead when the pod has a user namespace. */
  readonly publicRootfs: string;
  /** Mount points of the parts of volumes that it mounts. */
  readonly subPaths: string;
  readonly pid: string;
  readonly conmonPid: string;
  readonly runtimeLog: string;
  readonly terminationMessage: string;
  readonly oom: string;
  readonly control: string;
  readonly exit: string;
  readonly layer: string;
  readonly upper: string;
  readonly work: string;
}

export function containerFiles(dirs: Dirs, sandboxId: string, id: string): ContainerFiles {
  const root = `${dirs.sandboxes}/${sandboxId}/containers/${id}`;
  const layer = `${dirs.layers}/${sandboxId}/${id}`;
  return {
    root,
    record: `${root}/container.json`,
    spec: `${root}/config.json`,
    rootfs: `${root}/rootfs`,
    publicRootfs: `${dirs.publicRoots}/${id}`,
    subPaths: `${root}/sub-paths`,
    pid: `${root}/pid`,
    conmonPid: `${root}/conmon.pid`,
    runtimeLog: `${root}/runtime.log`,
    terminationMessage: `${root}/termination-message`,
    oom: `${root}/oom`,
    control: `${root}/ctl`,
    exit: `${dirs.exits}/${id}`,
    layer,
    upper: `${layer}/upper`,
    work: `${layer}/work`,
  };
}

/** The cgroup of a pod, from the root of each hierarchy; those of its containers are right below it. */
export function podCgroup(dirs: Dirs, podUid: string): string {
  return `${dirs.cgroup}/pod${podUid}`;
}

/** What the hidden container that holds a shared pid namespace is called. */
export function pauseId(sandboxId: string): string {
  return `${sandboxId}-pause`;
}
