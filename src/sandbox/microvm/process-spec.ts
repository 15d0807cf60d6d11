import { weightOfShares } from "../cgroup/cgroup.ts";
import type { ContainerConfig, SandboxConfig } from "../driver.ts";
import { isGenerated, mayMakeSubPath } from "../generated.ts";
import { hostFacts } from "../namespace/host.ts";
import { ALL_CAPABILITIES, effectiveCapabilities } from "../namespace/oci/capabilities.ts";
import { MASKED_PATHS, READONLY_PATHS } from "../namespace/oci/mounts.ts";
import type { ResolvedUser } from "../namespace/users.ts";
import { etcMounts } from "./etc-volume.ts";
import type { CreateRequest, GuestMount, GuestProcess } from "./protocol/index.ts";
import type { ProcessRecord } from "./records.ts";
import { isShared } from "./share.ts";
import { SHARE_VOLUME } from "./volumes.ts";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** In the guest everything can be granted: its kernel is the pod's own. */
const EVERY_CAPABILITY: ReadonlySet<string> = new Set(ALL_CAPABILITIES);

/** Capabilities by name. @throws GantryError unsupported for a name that does not exist */
export function capabilitiesFor(config: ContainerConfig): string[] {
  return effectiveCapabilities(config.security, EVERY_CAPABILITY);
}

/** Who the app runs as. Pure. */
export function processRecord(
  sandbox: SandboxConfig,
  config: ContainerConfig,
  { user, home }: ResolvedUser,
  capabilities: readonly string[],
  seccomp: string | undefined,
): ProcessRecord {
  const mask = capabilities.reduce((bits, name) => bits | (1n << BigInt(ALL_CAPABILITIES.indexOf(name))), 0n);
  return {
    env: environment(sandbox, config, home),
    cwd: config.workingDir === "" ? "/" : config.workingDir,
    uid: user.uid,
    gid: user.gid,
    groups: [...user.additionalGids],
    capabilities: mask.toString(16),
    noNewPrivileges: config.security.noNewPrivileges,
    ...(seccomp === undefined ? {} : { seccomp }),
  };
}

/** Pure. */
export function guestProcess(
  record: ProcessRecord,
  argv: readonly string[],
  env: readonly string[] = [],
): GuestProcess {
  const { seccomp, capabilities, ...rest } = record;
  return {
    ...rest,
    argv,
    env: [...rest.env, ...env],
    capabilities: BigInt(`0x${capabilities}`),
    ...(seccomp === undefined ? {} : { seccomp: Buffer.from(seccomp, "base64") }),
  };
}

/** What the agent is asked to create. Pure. */
export function createRequest(
  sandbox: SandboxConfig,
  config: ContainerConfig,
  process: ProcessRecord,
  slots: { readonly disk: number; readonly logPort: number },
): CreateRequest {
  const targets = new Set(config.mounts.map((mount) => normalise(mount.mountPath)));
  const own = config.mounts.map((mount): GuestMount => {
    const volume = sandbox.volumes.find((candidate) => candidate.name === mount.volume);
    const files = volume !== undefined && isGenerated(volume);
    const from =
      volume !== undefined && isShared(volume)
        ? { volume: SHARE_VOLUME, root: mount.volume }
        : { volume: mount.volume };
    const part = mount.subPath === undefined ? {} : { path: normalise(mount.subPath).slice(1) };
    const create = part.path !== undefined && volume !== undefined && mayMakeSubPath(volume) && { create: true };
    return { ...from, ...part, ...create, target: normalise(mount.mountPath), readOnly: mount.readOnly || files };
  });
  const mounts = [...etcMounts(targets), ...own].sort((a, b) => depth(a.target) - depth(b.target));
  return {
    container: config.id,
    image: slots.disk,
    process: guestProcess(process, config.argv),
    logPort: slots.logPort,
    stdin: config.stdin,
    tty: config.tty,
    privileged: false,
    readOnlyRoot: config.security.readOnlyRootFilesystem,
    sharePidNamespace: sandbox.shareProcessNamespace,
    mounts,
    tmpfs: [],
    maskedPaths: config.security.unmasked === true ? [] : MASKED_PATHS,
    readOnlyPaths: config.security.unmasked === true ? [] : READONLY_PATHS,
    cgroup: cgroupFiles(config),
    rlimits: fileLimit(),
    ...(config.resources.oomScoreAdj === undefined ? {} : { oomScoreAdj: config.resources.oomScoreAdj }),
    terminationMessagePath: config.terminationMessagePath,
  };
}

function cgroupFiles({ resources }: ContainerConfig): Record<string, string> {
  const { cpuShares, cpuQuotaUs, cpuPeriodUs, memoryLimitBytes, pidsLimit } = resources;
  return {
    ...(cpuShares === undefined ? {} : { "cpu.weight": String(weightOfShares(cpuShares)) }),
    ...(cpuQuotaUs === undefined ? {} : { "cpu.max": `${cpuQuotaUs} ${cpuPeriodUs ?? 100_000}` }),
    ...(memoryLimitBytes === undefined ? {} : { "memory.max": String(memoryLimitBytes), "memory.swap.max": "0" }),
    ...(pidsLimit === undefined ? {} : { "pids.max": String(pidsLimit) }),
  };
}

/** The same number of open files as a namespace pod has. */
function fileLimit(): CreateRequest["rlimits"] {
  const limit = hostFacts().rlimits.find((each) => each.type === "RLIMIT_NOFILE");
  return limit === undefined ? [] : [{ name: "nofile", soft: limit.soft, hard: limit.hard }];
}

function environment(sandbox: SandboxConfig, config: ContainerConfig, home: string): string[] {
  const has = (name: string): boolean => config.env.some((entry) => entry.name === name);
  return [
    ...(has("PATH") ? [] : [DEFAULT_PATH]),
    ...(has("HOSTNAME") ? [] : [`HOSTNAME=${sandbox.hostname}`]),
    ...(has("HOME") ? [] : [`HOME=${home}`]),
    ...config.env.map(({ name, value }) => `${name}=${value}`),
  ];
}

const normalise = (path: string): string => `/${path.split("/").filter(Boolean).join("/")}`;
const depth = (path: string): number => path.split("/").filter(Boolean).length;
