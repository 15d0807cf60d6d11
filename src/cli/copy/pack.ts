import type { Stats } from "node:fs";
import { Readable } from "node:stream";
import { create, type ReadEntry } from "tar";
import { split } from "./place.ts";

/**
 * A tar archive of a file or a directory with all that is in it. Links are copied as links; owners are not told, as
 * they are others in the container. Sockets and devices are left out, and named on `leftOut`.
 * @param name what `path` is called in the archive; undefined: what is in the directory, without a first part
 */
export function pack(
  path: string,
  isDirectory: boolean,
  name: string | undefined,
  leftOut: (what: string) => void,
): Readable {
  const common = {
    portable: true,
    // A pipe would be waited for till somebody writes to it.
    filter: (inside: string, found: Stats | ReadEntry): boolean => {
      if (!("isFile" in found) || found.isFile() || found.isDirectory() || found.isSymbolicLink()) return true;
      leftOut(`${inside}: only files, directories and links are copied`);
      return false;
    },
    onwarn: (_code: string, message: string | Error) => leftOut(String(message)),
  };
  if (isDirectory) {
    return Readable.from(create({ ...common, cwd: path, ...(name !== undefined && { prefix: name }) }, ["."]));
  }
  const { parent, name: old = "" } = split(path);
  const onWriteEntry = (entry: { path: string }): void => {
    entry.path = name ?? old;
  };
  // With "./" before it no name has a meaning of its own: "@x" would be an archive to be taken in.
  return Readable.from(create({ ...common, onWriteEntry, cwd: parent }, [`./${old}`]));
}
