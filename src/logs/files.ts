import { type FileHandle, open, readdir, readFile, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { errnoOf } from "../system/errors.ts";

/** One file of a container's log: the live one, or one that was rotated away. */
export interface LogFile {
  readonly path: string;
  readonly inode: number;
  readonly modifiedMs: number;
  readonly live: boolean;
}

/** An open log file. */
export interface LogSource {
  readonly path: string;
  readonly inode: number;
  readonly live: boolean;
  size(): Promise<number>;
  /** False once it has been removed, under whatever name. */
  exists(): Promise<boolean>;
  /** @returns the bytes read; 0 at the end */
  read(buffer: Buffer, position: number): Promise<number>;
  close(): Promise<void>;
}

/** `<n>.log.<timestamp>`, which sorts by time as text; others (conmon's .tmp) are no part of the log. */
const ROTATED_SUFFIX = /^\d{8}-\d{6}(\.\d{1,9})?(\.gz)?$/;
/** A file that has been compressed is read whole, up to this. Bytes. */
const MAX_UNZIPPED_BYTES = 256 * 1024 * 1024;

/** The rotated files beside `path`, oldest first. A directory that is not there has none. */
export async function rotatedPaths(path: string): Promise<string[]> {
  const prefix = `${basename(path)}.`;
  let names: string[];
  try {
    names = await readdir(dirname(path));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
  return names
    .filter((name) => name.startsWith(prefix) && ROTATED_SUFFIX.test(name.slice(prefix.length)))
    .sort()
    .map((name) => join(dirname(path), name));
}

/** All files of the log at `path`, oldest first, the live one last. */
export async function logFiles(path: string): Promise<LogFile[]> {
  // By inode: for a moment, or after a crash, one file may have two names. The newer name counts.
  const files = new Map<number, LogFile>();
  const add = (file: LogFile | undefined): void => {
    if (file === undefined) return;
    files.delete(file.inode);
    files.set(file.inode, file);
  };
  // The live one is looked at first: were it renamed in between, it would be missing from both lists.
  const live = await look(path, true);
  for (const rotated of await rotatedPaths(path)) add(await look(rotated, false));
  add(live);
  return [...files.values()];
}

async function look(path: string, live: boolean): Promise<LogFile | undefined> {
  try {
    const { ino, mtimeMs } = await stat(path);
    return { path, inode: ino, modifiedMs: mtimeMs, live };
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** Undefined when the file is gone, or another one has taken its name since it was looked at. */
export async function openSource(file: LogFile): Promise<LogSource | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(file.path, "r");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const { path, inode, live } = file;
  try {
    if ((await handle.stat()).ino !== inode) {
      await handle.close();
      return undefined;
    }
    if (path.endsWith(".gz")) {
      const content = await promisify(gunzip)(await readFile(handle), { maxOutputLength: MAX_UNZIPPED_BYTES });
      await handle.close();
      return sourceOf(content, file);
    }
  } catch (error) {
    await handle.close();
    throw error;
  }
  return {
    path,
    inode,
    live,
    size: async () => (await handle.stat()).size,
    exists: async () => (await handle.stat()).nlink > 0,
    read: async (buffer, position) => (await handle.read(buffer, 0, buffer.length, position)).bytesRead,
    close: () => handle.close(),
  };
}

function sourceOf(content: Buffer, { path, inode, live }: LogFile): LogSource {
  return {
    path,
    inode,
    live,
    size: async () => content.length,
    // Never written to any more: where it is not found, it was removed.
    exists: async () => false,
    read: async (buffer, position) => (position >= content.length ? 0 : content.copy(buffer, 0, position)),
    close: async () => {},
  };
}
