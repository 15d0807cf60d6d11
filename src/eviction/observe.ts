/** What there is left of the node's memory and disks. */
import type { Config } from "../config/index.ts";
import { memoryOf } from "../metrics/host.ts";
import type { Observation, Observations, PressureSettings } from "./thresholds.ts";

export interface ObservePorts {
  /** A directory on the disk of volumes, layers and logs. */
  readonly nodefs: string;
  /** One on the disk of images. */
  readonly imagefs: string;
  /** Of files of /proc. */
  readonly read: (path: string) => string;
  readonly statfs: (path: string) => Promise<DiskFigures>;
}

interface DiskFigures {
  readonly bsize: number;
  readonly blocks: number;
  readonly bavail: number;
  readonly files: number;
  readonly ffree: number;
}

/** What can't be read, or is not counted (inodes of btrfs), is left out. */
export async function observeNode({ nodefs, imagefs, read, statfs }: ObservePorts): Promise<Observations> {
  const [node, image] = await Promise.all([nodefs, imagefs].map((path) => statfs(path).catch(() => undefined)));
  const { totalBytes, availableBytes } = memoryOf(read("/proc/meminfo"));
  return {
    ...(totalBytes === 0 ? {} : { memoryAvailable: { capacity: totalBytes, available: availableBytes } }),
    ...disk("nodefsAvailable", "nodefsInodesFree", node),
    ...disk("imagefsAvailable", "imagefsInodesFree", image),
  };
}

function disk(bytes: string, inodes: string, figures: DiskFigures | undefined): Record<string, Observation> {
  if (figures === undefined) return {};
  const { bsize, blocks, bavail, files, ffree } = figures;
  return {
    ...(blocks === 0 ? {} : { [bytes]: { capacity: blocks * bsize, available: bavail * bsize } }),
    ...(files === 0 ? {} : { [inodes]: { capacity: files, available: ffree } }),
  };
}

/** From the configuration, whose times are in seconds. */
export function pressureSettings({
  minimumReclaim,
  pressureTransitionPeriodSeconds,
  intervalSeconds: _,
  ...thresholds
}: Config["eviction"]): PressureSettings {
  return { thresholds, minimumReclaim, transitionMs: pressureTransitionPeriodSeconds * 1000 };
}
