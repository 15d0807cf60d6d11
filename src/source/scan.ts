/** Finds the manifest files below a folder. Synchronous: it is far quicker, and takes milliseconds. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf, messageOf } from "../system/errors.ts";
import { isManifestName } from "./names.ts";

export interface FoundFile {
  readonly path: string;
  /** Changes whenever the file does: device, inode, size, mtime and ctime. */
  readonly key: string;
  readonly size: number;
  readonly mtimeMs: number;
}

export interface Unreadable {
  readonly path: string;
  readonly message: string;
}

export interface Scan {
  /** Sorted by path. */
  readonly files: readonly FoundFile[];
  /** Files and folders that are there but can't be looked at; what was read from there before is still meant. */
  readonly unreadable: readonly Unreadable[];
}

/** Each file and folder is visited once, however many links lead there; links never win over the real path. */
export function scan(root: string): Scan {
  const files: FoundFile[] = [];
  const unreadable: Unreadable[] = [];
  const seen = new Set<string>();
  const links: string[] = [];
  visit(root, "folder");
  for (let link = links.shift(); link !== undefined; link = links.shift()) visit(link, "link");
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, unreadable };

  function visitFolder(folder: string): void {
    try {
      const entries = readdirSync(folder, { withFileTypes: true });
      entries.sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const entry of entries) {
        if (entry.name.startsWith(".")) continue;
        const path = join(folder, entry.name);
        if (entry.isSymbolicLink()) links.push(path);
        else if (entry.isDirectory()) visit(path, "folder");
        else if (isManifestName(entry.name)) visit(path, "file");
      }
    } catch (error) {
      fail(folder, error, "the folder can't be read");
    }
  }

  function visit(path: string, how: "folder" | "file" | "link"): void {
    const wanted = isManifestName(path.slice(path.lastIndexOf("/") + 1));
    try {
      const stat = statSync(path, { bigint: true });
      const identity = `${stat.dev}:${stat.ino}`;
      if (stat.isDirectory()) {
        if (seen.has(identity)) return;
        seen.add(identity);
        visitFolder(path);
      } else if (wanted && !stat.isFile()) {
        unreadable.push({ path, message: "is neither a file nor a folder" });
      } else if (wanted && !seen.has(identity)) {
        seen.add(identity);
        const key = `${identity}:${stat.size}:${stat.mtimeNs}:${stat.ctimeNs}`;
        files.push({ path, key, size: Number(stat.size), mtimeMs: Number(stat.mtimeMs) });
      }
    } catch (error) {
      if (how === "link" && errnoOf(error) === "ENOENT") {
        if (wanted) unreadable.push({ path, message: "is a symbolic link to nothing" });
      } else if (how === "link" && errnoOf(error) === "ELOOP")
        unreadable.push({ path, message: "is a symbolic link that leads to itself" });
      else fail(path, error, "can't be read");
    }
  }

  /** What is gone by the time that it is looked at is simply gone. */
  function fail(path: string, error: unknown, what: string): void {
    if (errnoOf(error) !== "ENOENT" || path === root)
      unreadable.push({ path, message: `${what}: ${messageOf(error)}` });
  }
}
