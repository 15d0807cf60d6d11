/**
 * Who holds a file open for writing. A file is a manifest once it is closed; how long writing takes, nobody
 * knows, so no delay is guessed. Only processes that this one may look at are seen (all, for root).
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { errnoOf } from "../system/errors.ts";

export interface Writer {
  readonly pid: number;
  readonly fd: string;
  /** The real path of the file. */
  readonly path: string;
}

/** O_WRONLY | O_RDWR, as /proc/PID/fdinfo shows the flags: in octal. */
const WRITE_FLAGS = 0o3;

/** The writers of `paths`, by the path as given. One pass over /proc, however many paths there are. */
export function findWriters(paths: readonly string[]): Map<string, Writer> {
  const writers = new Map<string, Writer>();
  if (paths.length === 0) return writers;
  const wanted = new Map<string, string>();
  for (const path of paths) wanted.set(attempt(() => realpathSync(path)) ?? path, path);
  for (const pid of readdirSync("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    for (const fd of fdsOf(pid)) {
      let target: string;
      try {
        target = readlinkSync(`/proc/${pid}/fd/${fd}`);
      } catch (error) {
        // Closed meanwhile; but a process that may not be looked at refuses every one, and errors are slow.
        if (errnoOf(error) === "ENOENT") continue;
        break;
      }
      const path = wanted.get(target);
      if (path === undefined || writers.has(path)) continue;
      const writer = { pid: Number(pid), fd, path: target };
      if (isWriting(writer)) writers.set(path, writer);
    }
  }
  return writers;
}

function fdsOf(pid: string): readonly string[] {
  return attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
}

/** True while a writer that was found before still has the same file open. Takes microseconds. */
export function stillWriting(writer: Writer): boolean {
  return attempt(() => readlinkSync(`/proc/${writer.pid}/fd/${writer.fd}`)) === writer.path && isWriting(writer);
}

function isWriting(writer: Writer): boolean {
  const info = attempt(() => readFileSync(`/proc/${writer.pid}/fdinfo/${writer.fd}`, "latin1"));
  const flags = info === undefined ? undefined : /^flags:\s*([0-7]+)/m.exec(info)?.[1];
  return flags !== undefined && (Number.parseInt(flags, 8) & WRITE_FLAGS) !== 0;
}

/** Processes and files come and go meanwhile. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
