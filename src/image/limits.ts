import { GantryError } from "../system/errors.ts";

/** What an image may cost before it is refused: a small hostile file can unpack to a full disk. */
export interface Limits {
  /** All layers together when unpacked, in bytes. */
  readonly unpackedBytes: number;
  /** Files, directories and links in all layers together. */
  readonly entries: number;
  /** The input itself: read from a stream, or decompressed. Bytes. */
  readonly inputBytes: number;
}

const GIB = 1024 ** 3;

/**
 * Every image file is extended (sparsely) to this size, in bytes: a micro-VM that was cloned from a template
 * can't learn a new size for its disks, so that all disks have the same.
 */
export const IMAGE_FILE_BYTES = 8 * GIB;

export const DEFAULT_LIMITS: Limits = { unpackedBytes: 8 * GIB, entries: 1_000_000, inputBytes: 16 * GIB };

/** The error for an image that goes over one of its limits. */
export function tooBig(what: string, limit: string): GantryError {
  return new GantryError("image-invalid", `${what}; the limit is ${limit}`, {
    hint: "Make the image smaller, and import only images that you trust.",
  });
}

/** @param alone false: together with other layers of the image */
export function unpacksToTooMuch({ unpackedBytes }: Limits, alone: boolean): GantryError {
  const limit = formatBytes(unpackedBytes);
  return tooBig(`${alone ? "it" : "with the image's other layers it"} unpacks to more than ${limit}`, limit);
}

/** @param alone false: together with other layers of the image */
export function tooManyFiles({ entries }: Limits, alone: boolean): GantryError {
  const what = alone ? "it holds" : "with the image's other layers it holds";
  return tooBig(`${what} more than ${entries} files`, `${entries} files`);
}

/** Bytes for people: "8 GiB". */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${Number(value.toFixed(1))} ${units[unit]}`;
}
