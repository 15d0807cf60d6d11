import type { ConfigMap, PersistentVolumeClaim, Pod, Secret } from "../manifest/index.ts";
import type { PreparedVolume } from "../sandbox/driver.ts";
import type { DiskUnit } from "../system/disk-usage.ts";
import type { ClaimVolumes } from "./claim/contract.ts";

/** Makes a pod's volumes ready on the host and takes them away again. */
export interface VolumeManager {
  readonly claims: ClaimVolumes;
  /**
   * Safe to repeat: an emptyDir keeps its content, configMap and secret files are brought up to date (atomically).
   * @throws config-missing (ConfigMap, Secret or key, PersistentVolumeClaim), conflict (a claim is for one pod, and another
   * has it), volume-failed (hostPath checks, mounts), disk-full
   */
  prepare(pod: Pod, uid: string, lookup: ConfigLookup, signal: AbortSignal): Promise<PreparedVolume[]>;
  /** Rewrites configMap and secret volumes whose content changed; what is missing now stays as it was. */
  refresh(pod: Pod, uid: string, lookup: ConfigLookup, signal: AbortSignal): Promise<void>;
  /** Removes the volumes of a pod (never what a hostPath points to). An unknown uid is fine. */
  remove(uid: string, signal: AbortSignal): Promise<void>;
  /** uids that have volumes on disk, for garbage collection. */
  list(): Promise<string[]>;
  /**
   * What emptyDirs have on disk, by name.
   * @param elsewhere those that are not on this host's disk: see SandboxDriver.diskUsage
   */
  usage(
    uid: string,
    volumes: readonly string[],
    unit: DiskUnit,
    elsewhere?: ReadonlyMap<string, number>,
  ): Promise<Readonly<Record<string, number>>>;
}

/** Finds what the files of volumes are made of: objects that pods refer to, in a pod's own namespace, and the pod's own fields. */
export interface ConfigLookup {
  configMap(name: string): ConfigMap | undefined;
  secret(name: string): Secret | undefined;
  claim(name: string): PersistentVolumeClaim | undefined;
  /** Value of a fieldRef. @throws GantryError unsupported */
  field(path: string): string;
  /** Value of a resourceFieldRef. @throws GantryError unsupported, invalid-manifest (there is no such container) */
  resource(container: string, resource: string, divisor: string): string;
}
