import { readFileSync } from "node:fs";
import { cpus, hostname, networkInterfaces, release, totalmem } from "node:os";
import type { NodeObject } from "../api/contract.ts";
import type { Condition, Pressure } from "../eviction/thresholds.ts";
import type { NodeFacts } from "../pod/contract.ts";
import { timestamp } from "../system/timestamp.ts";

/** What this host is, for cgroup shares, status.hostIP and `GET nodes`. */
export function nodeFacts(name: string | undefined): NodeFacts {
  return { name: name ?? hostname(), ip: ownAddress(), cpus: cpus().length, memoryBytes: totalmem() };
}

/** The first address that others may reach; the loopback address on a host that has no other. */
function ownAddress(): string {
  const routable = Object.entries(networkInterfaces())
    .filter(([device]) => !/^(lo|gantry|gnt|veth|cni|docker|podman|br-)/.test(device))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal);
  return routable?.address ?? "127.0.0.1";
}

/** How often a node that does not change says that it is alive: as kubelets do. ms */
const HEARTBEAT_MS = 5 * 60_000;

export interface NodeAt {
  /** ms since the epoch, when the daemon became ready. */
  readonly startedAt: number;
  /** ms since the epoch */
  readonly now: number;
}

/** A v1 Node. It becomes another one by the clock alone only every few minutes: watches are told of each. */
export function nodeObject(facts: NodeFacts, at: NodeAt, version: string, pressure: Pressure): NodeObject {
  const since = timestamp(at.startedAt);
  const lastHeartbeatTime = timestamp(Math.max(at.startedAt, at.now - (at.now % HEARTBEAT_MS)));
  const resources = { cpu: String(facts.cpus), memory: `${Math.floor(facts.memoryBytes / 1024)}Ki`, pods: "1000" };
  return {
    apiVersion: "v1",
    kind: "Node",
    metadata: {
      name: facts.name,
      uid: readTrimmed("/etc/machine-id") || facts.name,
      creationTimestamp: since,
      labels: {
        "kubernetes.io/hostname": facts.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture(),
      },
    },
    status: {
      capacity: resources,
      allocatable: resources,
      addresses: [
        { type: "InternalIP", address: facts.ip },
        { type: "Hostname", address: facts.name },
      ],
      nodeInfo: {
        architecture: architecture(),
        bootID: readTrimmed("/proc/sys/kernel/random/boot_id"),
        containerRuntimeVersion: `gantry://${version}`,
        kernelVersion: release(),
        kubeletVersion: `gantry-${version}`,
        machineID: readTrimmed("/etc/machine-id"),
        operatingSystem: "linux",
        osImage: osName(),
      },
      conditions: [
        pressureCondition("MemoryPressure", pressure.memory, [
          ["GantryHasSufficientMemory", "there is enough memory"],
          ["GantryHasInsufficientMemory", "there is too little memory"],
        ]),
        pressureCondition("DiskPressure", pressure.disk, [
          ["GantryHasNoDiskPressure", "there is enough room on the disks"],
          ["GantryHasDiskPressure", "there is too little room on a disk"],
        ]),
        { type: "Ready", status: "True", reason: "GantryReady", message: "the daemon runs", lastTransitionTime: since },
      ].map((condition) => ({ ...condition, lastHeartbeatTime })),
    },
  };
}

/** What `kubectl describe node` looks for: until when the node's last word holds. */
export function leaseOfNode({ metadata, status }: NodeObject) {
  const heartbeat = status.conditions.at(-1)?.lastHeartbeatTime ?? metadata.creationTimestamp;
  return {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: {
      ...{ name: metadata.name, namespace: "kube-node-lease", uid: `lease-${metadata.uid}` },
      creationTimestamp: metadata.creationTimestamp,
    },
    spec: {
      holderIdentity: metadata.name,
      // Twice what lies between two heartbeats: it does not lapse while the daemon runs.
      leaseDurationSeconds: (2 * HEARTBEAT_MS) / 1000,
      renewTime: heartbeat.replace(/(\.\d+)?Z$/, ".000000Z"),
    },
  };
}

type Said = readonly [reason: string, message: string];

function pressureCondition(type: string, { holds, since }: Condition, [no, yes]: readonly [Said, Said]) {
  const [reason, message] = holds ? yes : no;
  return { type, status: holds ? "True" : "False", reason, message, lastTransitionTime: timestamp(since) };
}

function architecture(): string {
  const names: Partial<Record<NodeJS.Architecture, string>> = { x64: "amd64", ia32: "386" };
  return names[process.arch] ?? process.arch;
}

function osName(): string {
  return /^PRETTY_NAME="?([^"\n]*)"?/m.exec(readTrimmed("/etc/os-release"))?.[1] ?? "Linux";
}

function readTrimmed(path: string): string {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return "";
  }
}
