import { link, lstat, rename, rm, stat, unlink } from "node:fs/promises";
import { basename } from "node:path";
import type { Clock } from "../system/clock.ts";
import { errnoOf, GantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { rotatedPaths } from "./files.ts";

export interface LogRotator {
  /**
   * Rotates the log when it has grown over its size, and removes the oldest beyond their number. Safe to repeat after a
   * crash at any point, and to call again while it is at work. Failures are logged, never thrown.
   */
  rotateIfNeeded(target: RotationTarget): Promise<"rotated" | "reopened" | "kept" | "failed">;
}

export interface RotationTarget {
  /** The live file. */
  readonly path: string;
  /** Makes the writer go on in a new file at `path` (SandboxDriver.reopenLog). */
  reopen(): Promise<void>;
}

export interface LogRotatorOptions {
  /** A live file of this size or more is rotated. Bytes. */
  readonly maxSizeBytes: number;
  /** Files kept per container, the live one included; at least 2. */
  readonly maxFiles: number;
  readonly log: Logger;
  readonly clock: Clock;
}

/** @throws GantryError invalid-config */
export function createLogRotator(options: LogRotatorOptions): LogRotator {
  const { maxSizeBytes, maxFiles, log, clock } = options;
  if (!Number.isInteger(maxFiles) || maxFiles < 2) {
    throw new GantryError("invalid-config", `can't keep ${maxFiles} log files`, { hint: "Keep at least 2." });
  }
  if (!(maxSizeBytes > 0)) {
    throw new GantryError("invalid-config", `can't rotate logs at ${maxSizeBytes} bytes`, {
      hint: "The default is 10 MiB.",
    });
  }
  const atWork = new Map<string, ReturnType<LogRotator["rotateIfNeeded"]>>();

  const rotate = async (target: RotationTarget): Promise<"rotated" | "reopened" | "kept"> => {
    const { path } = target;
    const size = await sizeOf(path);
    if (size === undefined) {
      // A crash between rename and reopen: the writer still writes to the file that was renamed.
      if ((await rotatedPaths(path)).length === 0) return "kept";
      await target.reopen();
      await prune(path, maxFiles);
      return "reopened";
    }
    if (size < maxSizeBytes) return "kept";
    const rotated = await freeName(path, clock.now());
    await rename(path, rotated);
    try {
      await target.reopen();
    } catch (error) {
      await putBack(rotated, path);
      throw error;
    }
    await prune(path, maxFiles);
    return "rotated";
  };

  return {
    rotateIfNeeded: (target) => {
      const running = atWork.get(target.path);
      if (running !== undefined) return running;
      const work = rotate(target)
        .catch((err) => {
          log.warn({ err, path: target.path }, "cannot rotate a container's log; trying again later");
          return "failed" as const;
        })
        .finally(() => atWork.delete(target.path));
      atWork.set(target.path, work);
      return work;
    },
  };
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** `<n>.log.20260131-120000.123` in UTC; a millisecond more while there is such a file, or a newer one. */
async function freeName(path: string, nowMs: number): Promise<string> {
  const newest = (await rotatedPaths(path)).at(-1);
  for (let ms = nowMs; ; ms += 1) {
    const name = `${path}.${timestamp(ms)}`;
    // Names must sort in the order of rotation, though the clock may have been set back.
    if (newest !== undefined && basename(name) <= basename(newest)) {
      ms = Math.max(ms, timeOfName(newest));
      continue;
    }
    if (!(await exists(name))) return name;
  }
}

function timestamp(ms: number): string {
  const [date = "", time = ""] = new Date(ms).toISOString().slice(0, 23).split("T");
  return `${date.replaceAll("-", "")}-${time.replaceAll(":", "")}`;
}

/** ms of a rotated file's name; 0 when it can't be read. */
function timeOfName(path: string): number {
  const match = /\.(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)(\d\d)(\.\d{1,3})?\d*(\.gz)?$/.exec(path);
  const [, year, month, day, hour, minute, second, fraction = ""] = match ?? [];
  const time = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction}Z`);
  return Number.isNaN(time) ? 0 : time;
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return false;
    throw error;
  }
}

/** The writer goes on in the renamed file: give it its name back, unless there is a new one by now. */
async function putBack(rotated: string, path: string): Promise<void> {
  try {
    await link(rotated, path);
  } catch (error) {
    if (errnoOf(error) === "EEXIST") return;
    throw error;
  }
  await unlink(rotated);
}

async function prune(path: string, maxFiles: number): Promise<void> {
  const rotated = await rotatedPaths(path);
  const tooMany = rotated.length - (maxFiles - 1);
  for (const file of rotated.slice(0, Math.max(0, tooMany))) await rm(file, { force: true });
}
