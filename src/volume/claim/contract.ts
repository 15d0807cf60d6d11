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
  /** Since when no manifest claims it any more, ms since the epoch. */
  readonly goneSince: number | undefined;
  /** When it goes by its reclaim policy, ms since the epoch; later, while a pod still has it. */
  readonly deletesAt: number | undefined;
  /** Its data is not there, or not all of it: what is missing. */
  readonly lost: string | undefined;
  /** Its file system found an error in itself and lets nobody write since. */
  readonly failed: boolean;
}

/** What `gantry volume` shows: what manifests claim, and what is on the disk. */
export interface VolumeEntry extends Omit<ClaimVolume, "file" | "lost" | "failed"> {
  /**
   * Pending: no pod has needed it yet. Released: it has data, and no manifest claims it any more. Lost: it had data,
   * which is missing.
   */
  readonly phase: "Pending" | "Bound" | "Released" | "Lost";
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

/** Every claim that manifests and controllers have, by "<namespace>/<name>". */
export interface WantedClaims {
  readonly claims: ReadonlyMap<string, PersistentVolumeClaim>;
  /** Why a claim that is not among them may be meant all the same, as a sentence: nothing counts as gone then. */
  readonly doubt: string | undefined;
}

/** The volumes of claims, which live longer than pods. */
export interface ClaimVolumes {
  list(): Promise<ClaimVolume[]>;
  /** Bytes that are free on the disk that volumes are on. */
  room(): Promise<number>;
  /**
   * Brings volumes to what their claims say now: grows them; removes those whose policy is Delete, that nobody claims
   * any more for as long as the configuration says, and that no pod has.
   * @returns what people should know, and when to look again though nothing else happens (ms since the epoch)
   */
  reconcile(
    wanted: WantedClaims,
    signal: AbortSignal,
  ): Promise<{ readonly notes: ClaimNote[]; readonly lookAt: number | undefined }>;
  /** Removes a volume and its data. @throws GantryError not-found, conflict (a pod has it) */
  remove(namespace: string, name: string, signal: AbortSignal): Promise<void>;
}
