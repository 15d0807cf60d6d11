import { GantryError } from "../../system/errors.ts";
import type { VmShape } from "./qemu/args.ts";
import type { SandboxRecord } from "./records.ts";

/**
 * The disks of image volumes, by the digest of the image: from the last one down, so that those of containers, from the
 * first one up, meet them last. Pure.
 */
export function imageSlots({
  config,
  shape,
}: {
  readonly config: Pick<SandboxRecord["config"], "volumes">;
  readonly shape: Pick<VmShape, "disks">;
}): ReadonlyMap<string, number> {
  const digests = new Set(config.volumes.flatMap(({ imageDigest }) => imageDigest ?? []));
  return new Map([...digests].map((digest, index) => [digest, shape.disks - 1 - index]));
}

/** A container's part of the VM's hardware. */
export interface SlotUse {
  readonly id: string;
  readonly imageDigest: string;
  readonly disk: number;
  readonly logPort: number;
  /** One that has ended writes no more, but its image stays mounted until it is removed. */
  readonly ended: boolean;
}

/**
 * The disk for an image (shared by the containers that run it) and a port for the output. One port is left free: while
 * a log file is replaced a container changes to it, and no line is cut in two. Pure.
 * @throws GantryError unsupported when the VM has none left
 */
export function allocateSlots(
  shape: VmShape,
  used: readonly SlotUse[],
  imageDigest: string,
): { readonly disk: number; readonly logPort: number } {
  const same = used.find((use) => use.imageDigest === imageDigest);
  const disk = same?.disk ?? firstFree(shape.disks, new Set(used.map((use) => use.disk)));
  if (disk === undefined) throw full(`${shape.disks} different images`);
  const logPort = freeLogPort(shape, used);
  const most = shape.logPorts - 1;
  if (logPort === undefined || used.filter(({ ended }) => !ended).length >= most) {
    throw full(`${most} running containers`);
  }
  return { disk, logPort };
}

/** A port that nobody writes to; undefined when there is none. */
export function freeLogPort(shape: VmShape, used: readonly SlotUse[]): number | undefined {
  return firstFree(shape.logPorts, new Set(used.filter((use) => !use.ended).map((use) => use.logPort)));
}

/** Whether nobody but `id` needs the image on that disk. */
export function isLastOnDisk(used: readonly SlotUse[], id: string, disk: number): boolean {
  return !used.some((use) => use.id !== id && use.disk === disk);
}

function firstFree(count: number, taken: ReadonlySet<number>): number | undefined {
  for (let n = 0; n < count; n++) if (!taken.has(n)) return n;
  return undefined;
}

function full(what: string): GantryError {
  return new GantryError("unsupported", `a micro-VM takes ${what} at most`, {
    hint: "Spread the containers over several pods, or use runtimeClassName: namespace.",
  });
}
