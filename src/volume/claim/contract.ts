import type { PersistentVolumeClaim } from "../../manifest/index.ts";

/** The volume of a claim, as it is on the disk. */
export interface ClaimVolume {
  readonly namespace: string;
  readonly name: string;
  readonly capacityBytes: number;
  /** What its file takes of the host's disk. */
  readonly onDiskBytes: number;
  readonly accessModes: readonly string[];
  readonly reclaimPolicy: "Retain" | "Delete";
  readonly storageClassName: string | undefined;
  /** ms since the epoch. */
  readonly createdAt: number;
  /** "<namespace>/<name>" of the pods that have it. */
  readonly pods: readonly string[];
  /** Path of the file with its file system. */
  readonly file: string;
  /** Where it is mounted on the host, while a pod has it. */
  readonly mountedAt: string | undefined;
  /** Room that is left in it, while it is mounted. */
  readonly freeBytes: number | undefined;
}

/** What `gantry volume` shows: what manifests claim, and what is on the disk. */
export interface VolumeEntry extends Omit<ClaimVolume, "file"> {
  /** Pending: no pod has needed it yet. Released: it has data, and no manifest claims it any more. */
  readonly phase: "Pending" | "Bound" | "Released";
  /** What the claim asks for now; absent without a claim. */
  readonly requestedBytes: number | undefined;
  readonly file: string | undefined;
  /** Why it is not as its claim says. */
  readonly problem: string | undefined;
}

/** Something about a claim that people should know. */
export interface ClaimNote {
  readonly namespace: string;
  readonly name: string;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
}

/** The volumes of claims, which live longer than pods. */
export interface ClaimVolumes {
  list(): Promise<ClaimVolume[]>;
  /**
   * Brings volumes to what their claims say now: grows them; removes those without a claim whose policy is Delete and
   * that no pod has.
   * @param wanted by "<namespace>/<name>". Every claim there is: what is not in it counts as gone.
   */
  reconcile(wanted: ReadonlyMap<string, PersistentVolumeClaim>, signal: AbortSignal): Promise<ClaimNote[]>;
  /** Removes a volume and its data. @throws GantryError not-found, conflict (a pod has it) */
  remove(namespace: string, name: string, signal: AbortSignal): Promise<void>;
}
