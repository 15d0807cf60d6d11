/** Pure translation of a desired pod into what drivers understand. */
import type { Confinement } from "../confine/index.ts";
import type { Image } from "../image/contract.ts";
import { isDigest, normalizeName } from "../image/name.ts";
import type { ConfigMap, Pod, Secret } from "../manifest/index.ts";
import { vmOptions } from "../manifest/vm.ts";
import type { ContainerConfig, ContainerMount, PortMapping, PreparedVolume, SandboxConfig } from "../sandbox/driver.ts";
import { GantryError } from "../system/errors.ts";
import type { DesiredPod, NodeFacts } from "./contract.ts";
import {
  PRE_STOP_LABEL,
  SANDBOX_HASH_LABEL,
  SIGNED_BY_LABEL,
  STOP_SIGNAL_LABEL,
  VOLUME_IMAGES_LABEL,
} from "./labels.ts";
import { hookAction, hookLabel } from "./rules/actions.ts";
import { argvOf } from "./rules/argv.ts";
import { type ClusterNames, dnsOf, hostNamesOf, hostnameOf, NO_CLUSTER, type Resolv } from "./rules/dns.ts";
import { type EnvEntry, manifestEnv, mergeEnv } from "./rules/env.ts";
import { expand } from "./rules/expand.ts";
import { containerNamed, fieldValue, resourceValue } from "./rules/fields.ts";
import { containerId, podLogName, sandboxId } from "./rules/ids.ts";
import { containerResources, podDemand, podResources } from "./rules/resources.ts";
import { securityOf, userOf } from "./rules/security.ts";
import type { Slot } from "./rules/slots.ts";

export interface SandboxInput {
  readonly desired: DesiredPod;
  readonly uid: string;
  readonly attempt: number;
  readonly volumes: readonly PreparedVolume[];
  readonly node: NodeFacts;
  /** The host's resolv.conf; only used when the pod adds to it. */
  readonly resolv: Resolv;
  /** Default: a cluster without a name server. */
  readonly cluster?: ClusterNames;
}

/** @throws invalid-manifest for a host name that no kernel takes */
export function sandboxConfig(input: SandboxInput): SandboxConfig {
  const { desired, uid, attempt, volumes, node, resolv, cluster = NO_CLUSTER } = input;
  const { metadata, spec } = desired.pod;
  const vm = vmOptions(metadata.annotations);
  const mounted = volumes.flatMap(({ imageDigest }) => imageDigest ?? []);
  return {
    id: sandboxId(uid, attempt),
    pod: { namespace: metadata.namespace, name: metadata.name, uid },
    attempt,
    labels: {
      [SANDBOX_HASH_LABEL]: desired.sandboxHash,
      ...(mounted.length > 0 && { [VOLUME_IMAGES_LABEL]: mounted.join(" ") }),
    },
    ...(desired.runtimeHandler === undefined ? {} : { runtimeHandler: desired.runtimeHandler }),
    hostname: hostnameOf(desired.pod, node.name, cluster),
    hostNames: hostNamesOf(desired.pod, cluster),
    hostNetwork: spec.hostNetwork ?? false,
    hostPID: spec.hostPID ?? false,
    hostIPC: spec.hostIPC ?? false,
    hostUsers: spec.hostUsers ?? true,
    shareProcessNamespace: spec.shareProcessNamespace ?? false,
    portMappings: portMappings(desired.pod),
    dns: dnsOf(desired.pod, resolv, cluster),
    hostAliases: (spec.hostAliases ?? []).map(({ ip, hostnames }) => ({ ip, hostnames: hostnames ?? [] })),
    sysctls: Object.fromEntries((spec.securityContext.sysctls ?? []).map(({ name, value }) => [name, value])),
    resources: podResources(desired.pod),
    volumes,
    demand: podDemand(desired.pod),
    ...(vm === undefined ? {} : { vm }),
  };
}

/** With hostNetwork the app listens on the host itself: nothing is mapped. */
function portMappings({ spec }: Pod): PortMapping[] {
  if (spec.hostNetwork === true) return [];
  return [...(spec.initContainers ?? []), ...spec.containers].flatMap(({ ports = [] }) =>
    ports.flatMap(({ hostPort, hostIP, containerPort, protocol }): PortMapping[] =>
      hostPort === undefined ? [] : [{ ...(hostIP ? { hostIP } : {}), hostPort, containerPort, protocol }],
    ),
  );
}

export interface ContainerInput {
  readonly desired: DesiredPod;
  readonly uid: string;
  readonly slot: Slot;
  readonly attempt: number;
  readonly sandboxId: string;
  readonly ips: readonly string[];
  readonly image: Image;
  readonly node: NodeFacts;
  readonly podLogs: string;
  /** Default: a cluster without a name server. */
  readonly cluster?: ClusterNames;
  /** What the environment tells of the Services of its namespace; a name that is set otherwise stays as it is set. */
  readonly links?: readonly EnvEntry[];
  /** What the host has for `confinementWish`. */
  readonly confinement: Confinement;
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
}

const DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** @throws config-missing, invalid-manifest, unsupported: what Kubernetes calls CreateContainerConfigError */
export function containerConfig(input: ContainerInput): ContainerConfig {
  const { desired, uid, slot, attempt, image, node } = input;
  const { pod } = desired;
  const { spec } = slot;
  const id = containerId(input.sandboxId, slot.name, attempt);
  const ips = pod.spec.hostNetwork === true ? [node.ip] : input.ips;
  const links = pod.spec.enableServiceLinks === false ? [] : (input.links ?? []);
  const asked = manifestEnv(spec, {
    configMap: (name) => input.configMap(name),
    secret: (name) => input.secret(name),
    links,
    field: (path) => fieldValue(path, { pod, uid, node, ips }),
    resource: (name, resource, divisor) => resourceValue(pod, containerOf(pod, name, spec), resource, divisor, node),
  });
  const basis = [
    { name: "PATH", value: DEFAULT_PATH },
    { name: "HOSTNAME", value: hostnameOf(pod, node.name, input.cluster) },
  ];
  const signers = signersOf(image, spec.image);
  const stopSignal = spec.lifecycle?.stopSignal ?? image.config.stopSignal;
  const preStop = spec.lifecycle?.preStop;
  return {
    id,
    name: slot.name,
    attempt,
    specHash: slot.hash,
    labels: {
      ...(stopSignal !== undefined && { [STOP_SIGNAL_LABEL]: stopSignal }),
      ...(preStop !== undefined && { [PRE_STOP_LABEL]: hookLabel(hookAction(preStop, spec, "")) }),
      ...(signers.length > 0 && { [SIGNED_BY_LABEL]: signers.join("\n") }),
    },
    imageDigest: image.digest,
    imageName: spec.image,
    argv: argvOf(spec, image.config, asked),
    workingDir: spec.workingDir || image.config.workingDir || "/",
    env: mergeEnv(mergeEnv(mergeEnv(basis, image.config.env), links), asked),
    mounts: (spec.volumeMounts ?? []).map((mount) => mountOf(pod, mount, asked)),
    user: userOf(pod, spec, image.config.user),
    security: securityOf(pod, spec, input.confinement),
    resources: containerResources(pod, spec, node.memoryBytes),
    stdin: spec.stdin !== true ? "closed" : spec.stdinOnce === true ? "once" : "kept",
    tty: spec.tty ?? false,
    terminationMessagePath: spec.terminationMessagePath,
    logPath: logPath(input.podLogs, pod, uid, slot.name, attempt),
  };
}

/** Of the image under the name that the pod has for it; under any, when it names the digest. */
function signersOf({ origins }: Image, name: string): readonly string[] {
  const origin = isDigest(name) ? origins[0] : origins.find((one) => one.name === normalizeName(name));
  return origin?.signers ?? [];
}

/** `<podLogs>/<namespace>_<name>_<uid>/<container>/<attempt>.log` */
export function logPath(podLogs: string, pod: Pod, uid: string, container: string, attempt: number): string {
  return `${podLogs}/${podLogName(pod.metadata.namespace, pod.metadata.name, uid)}/${container}/${attempt}.log`;
}

/** What is made from manifests or is an image is not for apps to write to. */
const NOT_WRITABLE = ["configMap", "secret", "projected", "downwardAPI", "image"] as const;

type Mount = NonNullable<Slot["spec"]["volumeMounts"]>[number];

function mountOf(pod: Pod, mount: Mount, env: readonly EnvEntry[]): ContainerMount {
  const volume = pod.spec.volumes?.find(({ name }) => name === mount.name);
  const subPath = subPathOf(mount, env);
  return {
    volume: mount.name,
    mountPath: mount.mountPath,
    ...(subPath === undefined ? {} : { subPath }),
    readOnly:
      NOT_WRITABLE.some((source) => volume?.[source] !== undefined) ||
      volume?.persistentVolumeClaim?.readOnly === true ||
      (mount.readOnly ?? false),
    propagation: mount.mountPropagation ?? "None",
  };
}

/** @throws invalid-manifest when subPathExpr names a variable that is not set, or leads out of the volume with its value */
function subPathOf({ subPath, subPathExpr, mountPath }: Mount, env: readonly EnvEntry[]): string | undefined {
  if (!subPathExpr) return subPath || undefined;
  const missing = new Set<string>();
  const path = expand(subPathExpr, (name) => {
    const value = env.findLast((entry) => entry.name === name)?.value;
    if (value === undefined) missing.add(name);
    return value;
  });
  const fail = (why: string, hint: string): GantryError =>
    new GantryError("invalid-manifest", `subPathExpr ${JSON.stringify(subPathExpr)} at ${mountPath} ${why}`, { hint });
  if (missing.size > 0)
    throw fail(`names ${[...missing].join(", ")}, which is not set`, "Set it in the container's env.");
  if (path === "" || path.startsWith("/") || path.split("/").includes(".."))
    throw fail(`is ${JSON.stringify(path)}, which is not below the volume`, "It must be relative, without '..'.");
  return path;
}

function containerOf(pod: Pod, name: string | undefined, self: Slot["spec"]): Slot["spec"] {
  return name === undefined ? self : containerNamed(pod, name);
}
