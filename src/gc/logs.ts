import { readdir, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "../system/errors.ts";
import type { GcSettings } from "./plan.ts";

/** "3.log.20260102-030405": rotated away; the live file is "3.log". */
const ROTATED = /^\d+\.log\..+/;

interface LogFile {
  readonly path: string;
  readonly bytes: number;
  readonly at: number;
}

/**
 * Removes rotated logs: those that are too old, and, while their disk is above the high mark, the oldest of the others.
 * What is being written, and the end of every run, stay.
 * @returns the files, and their bytes
 */
export async function collectLogs(
  podLogs: string,
  settings: GcSettings,
  now: number,
  dryRun: boolean,
): Promise<{ readonly files: readonly string[]; readonly bytes: number }> {
  const rotated = (await rotatedIn(podLogs)).sort((a, b) => a.at - b.at);
  if (rotated.length === 0) return { files: [], bytes: 0 };
  const { blocks, bavail, bsize } = await statfs(podLogs);
  const over = 100 - (bavail / blocks) * 100 >= settings.highPercent;
  let wanted = over ? (blocks * bsize * (100 - settings.lowPercent)) / 100 - bavail * bsize : 0;
  const files: string[] = [];
  let bytes = 0;
  for (const file of rotated) {
    const age = now - file.at;
    const old = settings.maxAgeMs > 0 && age > settings.maxAgeMs;
    if (!old && (wanted <= 0 || age < settings.minAgeMs)) continue;
    if (!dryRun) await rm(file.path, { force: true });
    files.push(file.path);
    bytes += file.bytes;
    wanted -= file.bytes;
  }
  return { files, bytes };
}

/** <podLogs>/<pod>/<container>/<n>.log… */
async function rotatedIn(podLogs: string): Promise<LogFile[]> {
  const found: LogFile[] = [];
  for (const pod of await namesIn(podLogs)) {
    for (const container of await namesIn(join(podLogs, pod))) {
      const dir = join(podLogs, pod, container);
      for (const name of await namesIn(dir)) {
        if (!ROTATED.test(name)) continue;
        const stats = await stat(join(dir, name)).catch(() => undefined);
        if (stats?.isFile()) found.push({ path: join(dir, name), bytes: stats.blocks * 512, at: stats.mtimeMs });
      }
    }
  }
  return found;
}

async function namesIn(dir: string): Promise<string[]> {
  try {
    return await readdir(dir);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
