import type { ContainerConfig, SandboxConfig } from "../../driver.ts";
import { capabilitySets } from "./capabilities.ts";
import { containerMounts, MASKED_PATHS, type MountFacts, READONLY_PATHS, rootPropagation } from "./mounts.ts";
import { type CgroupFeatures, containerResources } from "./resources.ts";
import { seccompFor } from "./seccomp.ts";
import type { OciDevice, OciIdMapping, OciNamespace, OciRlimit, OciSpec, OciUser } from "./types.ts";

/** What the generator must be told about the host and the pod; it looks at nothing itself. */
export interface SpecFacts {
  readonly sandbox: SandboxConfig;
  readonly container: ContainerConfig;
  readonly rootfs: string;
  readonly user: OciUser;
  /** HOME of that user, for apps that ask. */
  readonly home: string;
  readonly capabilities: readonly string[];
  readonly arch: string;
  /** As `uname -r` has it. */
  readonly kernel: string;
  readonly cgroupsPath: string;
  readonly cgroup: CgroupFeatures;
  readonly namespaces: PodNamespaces;
  readonly mapping?: OciIdMapping;
  readonly idmap: boolean;
  readonly shm: string;
  readonly files: MountFacts["files"];
  readonly writableFiles: MountFacts["writableFiles"];
  readonly subPaths: MountFacts["subPaths"];
  /** All of the host's, for a privileged container; otherwise empty. */
  readonly devices: readonly OciDevice[];
  readonly rlimits: readonly OciRlimit[];
  readonly oomScoreAdj: number | undefined;
}

/** Paths of what the containers of a pod share. Absent: the host's; for pid: one of the container's own. */
export interface PodNamespaces {
  readonly network?: string;
  readonly ipc?: string;
  readonly uts?: string;
  readonly user?: string;
  readonly pid?: string;
}

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** The config.json of a container. Pure. */
export function ociSpec(facts: SpecFacts): OciSpec {
  const { sandbox, container } = facts;
  const { security } = container;
  const propagation = rootPropagation(container.mounts);
  const uts = facts.namespaces.uts !== undefined;
  const open = security.privileged || security.unmasked === true;
  const seccomp = seccompFor(security, facts);
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: container.tty,
      user: facts.user,
      args: container.argv,
      env: environment(facts),
      cwd: container.workingDir === "" ? "/" : container.workingDir,
      capabilities: capabilitySets(facts.capabilities, facts.user.uid),
      rlimits: facts.rlimits,
      noNewPrivileges: security.noNewPrivileges,
      ...(facts.oomScoreAdj === undefined ? {} : { oomScoreAdj: facts.oomScoreAdj }),
      ...(security.appArmorProfile === undefined ? {} : { apparmorProfile: security.appArmorProfile }),
      ...(security.seLinux === undefined ? {} : { selinuxLabel: security.seLinux.process }),
    },
    root: { path: facts.rootfs, readonly: security.readOnlyRootFilesystem },
    ...(uts ? { hostname: sandbox.hostname } : {}),
    mounts: containerMounts({
      privileged: security.privileged,
      hostPID: sandbox.hostPID,
      hostNetwork: sandbox.hostNetwork,
      userNamespace: facts.mapping !== undefined,
      idmap: facts.idmap,
      shm: facts.shm,
      files: facts.files,
      writableFiles: facts.writableFiles,
      volumes: sandbox.volumes,
      mounts: container.mounts,
      subPaths: facts.subPaths,
    }),
    linux: {
      namespaces: namespaces(facts),
      ...(facts.mapping === undefined ? {} : { uidMappings: [facts.mapping], gidMappings: [facts.mapping] }),
      devices: facts.devices,
      cgroupsPath: facts.cgroupsPath,
      resources: containerResources(container.resources, security.privileged, facts.cgroup),
      ...(propagation === undefined ? {} : { rootfsPropagation: propagation }),
      ...(seccomp === undefined ? {} : { seccomp }),
      sysctl: sandbox.sysctls,
      ...(security.seLinux === undefined ? {} : { mountLabel: security.seLinux.files }),
      maskedPaths: open ? [] : MASKED_PATHS,
      readonlyPaths: open ? [] : READONLY_PATHS,
    },
  };
}

function namespaces(facts: SpecFacts): OciNamespace[] {
  const { sandbox, namespaces: shared } = facts;
  const all: OciNamespace[] = [{ type: "mount" }];
  if (shared.user !== undefined) all.push({ type: "user", path: shared.user });
  if (shared.network !== undefined) all.push({ type: "network", path: shared.network });
  if (shared.ipc !== undefined) all.push({ type: "ipc", path: shared.ipc });
  if (shared.uts !== undefined) all.push({ type: "uts", path: shared.uts });
  if (shared.pid !== undefined) all.push({ type: "pid", path: shared.pid });
  else if (!sandbox.hostPID) all.push({ type: "pid" });
  // With v1 trees the runtimes show the container its own part of each; v2 needs a namespace for that.
  if (facts.cgroup.unified && !facts.container.security.privileged) all.push({ type: "cgroup" });
  return all;
}

function environment(facts: SpecFacts): string[] {
  const own = facts.container.env.map(({ name, value }) => `${name}=${value}`);
  const has = (name: string): boolean => facts.container.env.some((entry) => entry.name === name);
  return [
    ...(has("PATH") ? [] : [DEFAULT_PATH]),
    ...(has("HOSTNAME") ? [] : [`HOSTNAME=${facts.sandbox.hostname}`]),
    ...(has("HOME") ? [] : [`HOME=${facts.home}`]),
    ...(facts.container.tty && !has("TERM") ? ["TERM=xterm"] : []),
    ...own,
  ];
}
