import type { Stats } from "node:fs";
import { chmod, open, stat } from "node:fs/promises";
import { isAbsolute } from "node:path";
import type { Pod } from "../manifest/index.ts";
import { errnoOf, GantryError, toGantryError } from "../system/errors.ts";
import { makeDirectory } from "../system/make-directory.ts";

type HostPathSource = NonNullable<NonNullable<Pod["spec"]["volumes"]>[number]["hostPath"]>;
type HostPathType = HostPathSource["type"];

/**
 * Checks a hostPath volume as its type asks, and creates it for the two types that say so. Symlinks are followed,
 * as the mount will follow them.
 * @returns the path. @throws GantryError volume-failed, disk-full
 */
export async function prepareHostPath(volume: string, source: HostPathSource): Promise<string> {
  const { path, type } = source;
  const fail = (why: string, hint: string): never => {
    throw new GantryError(
      "volume-failed",
      `volume ${volume}: hostPath ${path}${type === "" ? "" : ` (type ${type})`} ${why}`,
      {
        hint,
        details: { volume, path, type },
      },
    );
  };
  if (!isAbsolute(path)) return fail("is not absolute", "Write the whole path, beginning with '/'.");
  if (path.split("/").includes("..")) return fail("contains '..'", "Write the path without '..'.");
  const found = (await look(volume, path)) ?? (await create(volume, path, type));
  if (found === undefined) {
    return fail(
      "does not exist",
      type === "" || type === "Directory" ? "Create it, or use the type DirectoryOrCreate." : hintFor(type),
    );
  }
  if (!matches(type, found)) return fail(`is ${nameOf(found)}, not ${WANTED[type]}`, "Correct the path or the type.");
  return path;
}

const WANTED: Readonly<Record<HostPathType, string>> = {
  "": "anything",
  Directory: "a directory",
  DirectoryOrCreate: "a directory",
  File: "a file",
  FileOrCreate: "a file",
  Socket: "a unix socket",
  CharDevice: "a character device",
  BlockDevice: "a block device",
};

function matches(type: HostPathType, stats: Stats): boolean {
  switch (type) {
    case "":
      return true;
    case "Directory":
    case "DirectoryOrCreate":
      return stats.isDirectory();
    case "File":
    case "FileOrCreate":
      return stats.isFile();
    case "Socket":
      return stats.isSocket();
    case "CharDevice":
      return stats.isCharacterDevice();
    case "BlockDevice":
      return stats.isBlockDevice();
  }
}

function nameOf(stats: Stats): string {
  if (stats.isDirectory()) return "a directory";
  if (stats.isFile()) return "a file";
  if (stats.isSocket()) return "a unix socket";
  if (stats.isCharacterDevice()) return "a character device";
  if (stats.isBlockDevice()) return "a block device";
  return "a named pipe";
}

function hintFor(type: HostPathType): string {
  return type === "File"
    ? "Create it, or use the type FileOrCreate."
    : `Start what makes ${WANTED[type]} there, or correct the path.`;
}

async function look(volume: string, path: string): Promise<Stats | undefined> {
  try {
    return await stat(path);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw toGantryError(error, "volume-failed", `volume ${volume}: cannot look at hostPath ${path}`);
  }
}

/** Directories become 0755 with all their parents, files 0644 in a directory that must be there. */
async function create(volume: string, path: string, type: HostPathType): Promise<Stats | undefined> {
  try {
    if (type === "DirectoryOrCreate") {
      await makeDirectory(path, 0o755);
      await chmod(path, 0o755);
    } else if (type === "FileOrCreate") {
      const file = await open(path, "a", 0o644);
      await file.chmod(0o644).finally(() => file.close());
    } else return undefined;
    return await stat(path);
  } catch (error) {
    throw toGantryError(error, "volume-failed", `volume ${volume}: cannot create hostPath ${path}`);
  }
}
