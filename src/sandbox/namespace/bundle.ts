import { chmod, chown, mkdir, realpath, rename, stat, writeFile } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { GantryError } from "../../system/errors.ts";
import { readMounts } from "../../system/mounts.ts";
import type { ContainerConfig, ContainerMount, PreparedVolume } from "../driver.ts";
import type { Context } from "./context.ts";
import { hostDevices } from "./devices.ts";
import { type ContainerFiles, containerFiles, podCgroup, type SandboxFiles, sandboxFiles } from "./dirs.ts";
import { makeDirectory, removeTree } from "./files.ts";
import { allowedOomScoreAdj } from "./host.ts";
import { effectiveCapabilities } from "./oci/capabilities.ts";
import { ociSpec, type PodNamespaces } from "./oci/spec.ts";
import type { OciSpec } from "./oci/types.ts";
import { newContainerRecord, type SandboxRecord } from "./records.ts";
import type { Runtime } from "./runtime.ts";
import { labelFiles } from "./se-linux.ts";
import { bindSubPaths } from "./subpath.ts";
import { idMapping } from "./userns.ts";
import { resolveUser } from "./users.ts";

/** Lays out the files of a container: record, OCI bundle, writable layer. The directory appears with its record. */
export async function layOut(
  ctx: Context,
  sandboxId: string,
  config: ContainerConfig,
  lower: string,
): Promise<ContainerFiles> {
  const files = containerFiles(ctx.dirs, sandboxId, config.id);
  const temporary = join(dirname(files.root), `.${config.id}.new`);
  await removeTree(temporary);
  await mkdir(temporary, { mode: 0o711 });
  await ctx.records.save(join(temporary, "container.json"), newContainerRecord(config, ctx.clock.now(), ctx.bootId));
  await Promise.all([
    mkdir(join(temporary, "rootfs")),
    // Any user of the container may leave a last message.
    writeFile(join(temporary, "termination-message"), "").then(() =>
      chmod(join(temporary, "termination-message"), 0o666),
    ),
    makeDirectory(dirname(config.logPath), 0o755),
    layerDirectories(files, lower),
  ]);
  await rename(temporary, files.root);
  return files;
}

/** The root of an overlay has the owner and mode of its upper directory: it must look like the image's. */
async function layerDirectories(files: ContainerFiles, lower: string): Promise<void> {
  await removeTree(files.layer);
  await makeDirectory(files.layer);
  const [root] = await Promise.all([stat(lower), mkdir(files.upper), mkdir(files.work)]);
  await chmod(files.upper, root.mode & 0o7777);
  await chown(files.upper, root.uid, root.gid);
}

/**
 * Options of the overlay mount. `volatile`: a writable layer never outlives a boot, so nothing in it need ever be
 * flushed to disk. `metacopy`: changing an owner copies no data. `label`: what all files in it have for SELinux.
 */
export function overlayOptions(
  files: Pick<ContainerFiles, "upper" | "work">,
  lower: string,
  { shifted, label }: { readonly shifted: boolean; readonly label: string | undefined },
): string {
  const options = [
    `lowerdir=${escapePath(lower)}`,
    `upperdir=${escapePath(files.upper)}`,
    `workdir=${escapePath(files.work)}`,
    "volatile",
  ];
  // An SELinux label has commas of its own.
  const labelled = label === undefined ? [] : [`context="${label}"`];
  return [...options, ...(shifted ? ["metacopy=on"] : []), ...labelled].join(",");
}

/** Overlayfs takes commas and colons in paths with a backslash before them. */
function escapePath(path: string): string {
  return path.replace(/[\\:,]/g, "\\$&");
}

/** Gathers what the spec is made of. @throws GantryError image-invalid, unsupported, volume-failed */
export async function bundleSpec(
  ctx: Context,
  sandbox: SandboxRecord,
  config: ContainerConfig,
  facts: { readonly lower: string; readonly files: ContainerFiles; readonly runtime: Runtime },
  signal: AbortSignal,
): Promise<OciSpec> {
  const pod = sandboxFiles(ctx.dirs, sandbox.config.id);
  await checkVolumes(sandbox, config, facts.runtime);
  await labelFiles(sandbox.config, config, { pod, container: facts.files }, signal);
  const { user, home } = await resolveUser(facts.lower, config.user);
  const oomScoreAdj = allowedOomScoreAdj(config.resources.oomScoreAdj, ctx.host);
  if (oomScoreAdj !== config.resources.oomScoreAdj) {
    ctx.warnOnce(
      "oom_score_adj cannot be lowered without CAP_SYS_RESOURCE: apps are as likely OOM victims as Gantry itself",
    );
  }
  const shifted = sandbox.firstHostId !== undefined;
  return ociSpec({
    sandbox: sandbox.config,
    container: config,
    rootfs: shifted ? facts.files.publicRootfs : facts.files.rootfs,
    user,
    home,
    capabilities: effectiveCapabilities(config.security, ctx.host.capabilities),
    arch: process.arch,
    kernel: release(),
    cgroupsPath: `${podCgroup(ctx.dirs, sandbox.config.pod.uid)}/${config.id}`,
    cgroup: ctx.cgroups,
    namespaces: namespacePaths(sandbox, pod),
    ...(sandbox.firstHostId === undefined ? {} : { mapping: idMapping(sandbox.firstHostId) }),
    idmap: shifted && mapsOwners(facts.runtime),
    shm: sandbox.config.hostIPC ? "/dev/shm" : pod.shm,
    files: { "/etc/hosts": pod.hosts, "/etc/resolv.conf": pod.resolvConf, "/etc/hostname": pod.hostname },
    subPaths: await bindSubPaths(facts.files.subPaths, config.mounts, sandbox.config.volumes, signal),
    writableFiles: { [config.terminationMessagePath]: facts.files.terminationMessage },
    devices: config.security.privileged && !shifted ? await hostDevices() : [],
    rlimits: ctx.host.rlimits,
    oomScoreAdj,
  });
}

function namespacePaths(sandbox: SandboxRecord, pod: SandboxFiles): PodNamespaces {
  const { config, pause, firstHostId } = sandbox;
  return {
    ...(config.hostNetwork ? {} : { network: pod.net, uts: pod.uts }),
    ...(config.hostIPC ? {} : { ipc: pod.ipc }),
    ...(firstHostId === undefined ? {} : { user: pod.user }),
    ...(pause === undefined ? {} : { pid: `/proc/${pause.pid}/ns/pid` }),
  };
}

/** Which runtimes can map the owners of a volume into a user namespace, with the mount option "idmap". */
function mapsOwners(runtime: Runtime): boolean {
  return runtime.name === "crun";
}

/**
 * What would otherwise be a riddle in the runtime's words: a source that is gone, or one that the pod's user
 * namespace has no right to where the runtime cannot map its owner.
 */
async function checkVolumes(sandbox: SandboxRecord, config: ContainerConfig, runtime: Runtime): Promise<void> {
  for (const mount of config.mounts) {
    const volume = sandbox.config.volumes.find((candidate) => candidate.name === mount.volume);
    if (!volume) {
      throw new GantryError(
        "volume-failed",
        `container ${config.name} mounts "${mount.volume}", which the pod does not have`,
        { hint: "Name one of the pod's volumes." },
      );
    }
    const source = await stat(volume.hostPath).catch((cause: unknown) => {
      throw new GantryError("volume-failed", `volume "${volume.name}": ${volume.hostPath} is not there`, { cause });
    });
    if (volume.kind === "hostPath" && mount.propagation !== "None") await checkPropagation(volume, mount);
    const forAnybody = source.isDirectory() ? 0o005 : 0o004;
    if (sandbox.firstHostId !== undefined && !mapsOwners(runtime) && (source.mode & forAnybody) !== forAnybody) {
      throw new GantryError(
        "unsupported",
        `volume "${volume.name}" is not open to everybody, and ${runtime.name} cannot map its owner for hostUsers: false`,
        { hint: "Use crun, which can, or set hostUsers: true." },
      );
    }
  }
}

/** Nothing would propagate from or to a private mount, and nobody would know why; containerd refuses it as well. */
async function checkPropagation(
  { name, hostPath }: PreparedVolume,
  { propagation }: Pick<ContainerMount, "propagation">,
): Promise<void> {
  const path = await realpath(hostPath);
  const on = (await readMounts()).findLast(
    (one) => path === one.path || path.startsWith(one.path.replace(/\/?$/, "/")),
  );
  if (on === undefined || on.shared || (propagation === "HostToContainer" && on.slave)) return;
  throw new GantryError(
    "volume-failed",
    `volume "${name}": ${hostPath} is on the mount ${on.path}, which is private: mountPropagation ${propagation} can do nothing`,
    { hint: `Share it: mount --make-rshared ${on.path}; or leave mountPropagation out.` },
  );
}
