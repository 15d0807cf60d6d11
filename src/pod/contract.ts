import type { Confiner } from "../confine/index.ts";
import type { Image, ImageStore } from "../image/contract.ts";
import type { ConfigMap, Container, PersistentVolumeClaim, Pod, Secret } from "../manifest/index.ts";
import type { Prober } from "../probe/contract.ts";
import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";
import type { StateStore } from "../store/contract.ts";
import type { Clock } from "../system/clock.ts";
import type { DiskUnit } from "../system/disk-usage.ts";
import type { Logger } from "../system/log.ts";
import type { VolumeManager } from "../volume/contract.ts";
import type { ClusterNames } from "./rules/dns.ts";
import type { EnvEntry } from "./rules/env.ts";
import type { EphemeralUsage } from "./rules/ephemeral.ts";

/** A pod as its manifest wants it: defaulted, validated, hashed. Made by src/desired.ts. */
export interface DesiredPod {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly pod: Pod;
  /** Where it is written, for people: "web.yaml:12". */
  readonly origin: string;
  /** namespace, microvm or the name of another RuntimeClass; resolved to driver and handler. */
  readonly runtimeClass: string;
  readonly runtimeHandler: string | undefined;
  /** Changes when only a new sandbox will do (network, isolation, volumes, host namespaces, init containers). */
  readonly sandboxHash: string;
  /** By container name, init containers too: changes when that container must be made anew. */
  readonly containerHashes: Readonly<Record<string, string>>;
  /** Everything else (labels, annotations, grace …): taken over without touching anything that runs. */
  readonly metadataHash: string;
  readonly warnings: readonly string[];
}

/** Drives one state machine per pod. The reconciler decides what; this decides when. */
export interface PodSupervisor {
  /**
   * The pod shall run as `desired` says. New: it is created, or adopted when `observed` shows it already runs.
   * Known: takes over a changed spec; containers whose hash changed are restarted (new image first), others are
   * left alone. Idempotent.
   * @param uid the pod's identity; a new one for a pod that is created anew
   */
  ensure(desired: DesiredPod, uid: string, observed: readonly ObservedSandbox[]): void;
  /** Stops it in the grace of its spec (or `graceMs`), removes everything, then reports `removed`. Idempotent. */
  remove(uid: string, graceMs?: number): void;
  /** Kills and starts again all its containers, or one; counts as a restart without backoff. */
  restart(uid: string, container?: string): void;
  /** Ends it for good, without grace, because the node needs what it takes; `message` says so. */
  evict(uid: string, message: string): void;
  /** What it has on the node's disk. */
  diskUsage(uid: string, unit: DiskUnit): Promise<EphemeralUsage>;
  /** The node's pressure was looked at: who waited for its end, and is not turned away any more, goes on. */
  pressureSeen(): void;
  /** What the drivers report, after every look. Sandboxes of one pod uid; none when it has none. */
  observe(uid: string, observed: readonly ObservedSandbox[]): void;
  /** Configuration it refers to has changed: refresh its volumes, retry what waited for it. */
  configChanged(uid: string): void;
  /** Images were imported or removed: whatever waits for one tries again. */
  imagesChanged(): void;
  /**
   * Makes sure that an image is here for a pod that is not yet to run (a running pod's next version), pulled as the
   * container's policy says; tells of it in events. @throws GantryError as `ensureImage` of the effects does
   */
  ensureImage(pod: Pod, container: Container, signal: AbortSignal): Promise<Image>;
  get(uid: string): PodState | undefined;
  list(): PodState[];
  /** Calls back on every change of any pod's state. */
  subscribe(listener: (change: PodChange) => void): () => void;
  /** Stops the machines; what runs goes on running. */
  close(): Promise<void>;
}

export type PodChange =
  | { readonly type: "changed"; readonly uid: string }
  | { readonly type: "removed"; readonly uid: string; readonly key: string };

/** What a pod's machine knows: everything that the status is computed from (src/status.ts). */
export interface PodState {
  readonly uid: string;
  readonly desired: DesiredPod;
  readonly createdAt: number;
  readonly stage: PodStage;
  /** Why it is not getting on, as Kubernetes words it. */
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
  readonly failure: { readonly reason: string; readonly message: string } | undefined;
  readonly deletionDeadline: number | undefined;
  /** Evicted, and what it had on disk is gone. */
  readonly released?: boolean;
  readonly sandbox:
    | {
        readonly id: string;
        readonly createdAt: number;
        readonly ips: readonly string[];
        readonly detail: Readonly<Record<string, string>>;
      }
    | undefined;
  /** In spec order: init containers, then containers. */
  readonly containers: readonly ContainerState[];
}

export type PodStage =
  | "preparing" // images, volumes
  | "sandbox" // network and sandbox
  | "initializing"
  | "running"
  | "completed" // every container ended for good; the sandbox is stopped
  | "stopping"
  | "removed";

export interface ContainerState {
  readonly name: string;
  readonly kind: "init" | "sidecar" | "main";
  readonly image: string;
  readonly imageDigest: string | undefined;
  /** Who signed the image of the run that is there; empty when nobody was asked to. */
  readonly signers: readonly string[];
  readonly restartCount: number;
  /** Passed its readiness probe, or has none and runs (an init container: completed). */
  readonly ready: boolean;
  /** Startup probe passed (or none) and postStart done. */
  readonly started: boolean;
  /** When a probe or hook last changed one of the two, in this run. */
  readonly checkedAt?: number | undefined;
  /** It runs, but from another spec than is wanted now: the run that comes next is the one that was asked for. */
  readonly outdated?: boolean;
  readonly state:
    | {
        readonly type: "waiting";
        readonly reason: string;
        readonly message?: string;
        /** Of one whose app runs already, while its postStart hook is not done. */
        readonly containerId?: string;
      }
    | { readonly type: "running"; readonly containerId: string; readonly startedAt: number }
    | ({ readonly type: "terminated" } & Termination);
  readonly lastTermination: Termination | undefined;
}

export interface Termination {
  readonly containerId: string;
  readonly exitCode: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedAt?: number;
  readonly finishedAt: number;
  /** How somebody else ended it, as "was killed": neither we nor the kernel for its memory. */
  readonly endedByOthers?: string;
}

/** Everything that the pod machines reach the world through; injected by the composition root. */
export interface PodPorts {
  /** @throws GantryError unsupported when no driver implements the runtime class */
  driverFor(runtimeClass: string): SandboxDriver;
  readonly images: ImageStore;
  readonly volumes: VolumeManager;
  readonly prober: Prober;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly node: NodeFacts;
  readonly confiner: Confiner;
  /** Directory of the CRI log files. */
  readonly podLogs: string;
  configMap(namespace: string, name: string): ConfigMap | undefined;
  secret(namespace: string, name: string): Secret | undefined;
  claim(namespace: string, name: string): PersistentVolumeClaim | undefined;
  /** Names of the cluster; absent: there is no server for them. */
  clusterNames?(): ClusterNames;
  /** What the environment of containers tells of the Services of a namespace. */
  serviceLinks?(namespace: string): readonly EnvEntry[];
  /** The image, by its digest, that a container runs though its name means another one by now: after a roll-back. */
  pinnedImage?(key: string, container: string, image: string): string | undefined;
  /** Why this pod can't be taken now, as a sentence. */
  nodePressure?(pod: Pod): string | undefined;
  /** Records an event about a pod. */
  event(pod: Pod, uid: string, type: "Normal" | "Warning", reason: string, message: string): void;
}

export interface NodeFacts {
  readonly name: string;
  /** The node's own address, for hostNetwork pods and status.hostIP. */
  readonly ip: string;
  readonly cpus: number;
  readonly memoryBytes: number;
}
