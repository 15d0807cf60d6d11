/** Reads manifests once, without watching: for `gantry validate` and for plans without a daemon. */
import { statSync } from "node:fs";
import { byPosition, type LoadedObject, type ParseResult, type Problem } from "../manifest/index.ts";
import { createOpener, type Opener } from "../secrets/index.ts";
import { errnoOf, messageOf } from "../system/errors.ts";
import { distinct } from "./duplicates.ts";
import { fileProblem, readManifestFile } from "./read-file.ts";
import { type Scan, scan } from "./scan.ts";

/**
 * The objects and problems of files and folders. A file that is named is read whatever its name is; folders are
 * read as a daemon reads them. Objects that are defined twice are there once, with an error at both places.
 */
export async function readManifests(paths: readonly string[], opener: Opener = createOpener([])): Promise<ParseResult> {
  let result = readOnce(paths, opener);
  while (opener.pending) {
    await opener.settle();
    result = readOnce(paths, opener);
  }
  opener.forget();
  return result;
}

function readOnce(paths: readonly string[], opener: Opener): ParseResult {
  const objects: LoadedObject[] = [];
  const problems: Problem[] = [];
  const seen = new Set<string>();
  for (const path of paths) {
    const part = readPath(path, seen, opener);
    objects.push(...part.objects);
    problems.push(...part.problems);
  }
  const unique = distinct(objects, () => undefined);
  return { objects: unique.objects, problems: byPosition([...problems, ...unique.problems]) };
}

/** Everything that a scan found, read and parsed; the same object may be there twice. */
export function readFound(found: Scan, opener: Opener, seen: Set<string> = new Set()): ParseResult {
  const fresh = found.files.filter((file) => !seen.has(file.path));
  for (const file of fresh) seen.add(file.path);
  const parts = fresh.map((file) => readManifestFile(file.path, file.size, opener));
  const unreadable = found.unreadable.map((place) => fileProblem(place.path, place.message));
  return {
    objects: parts.flatMap((part) => part.objects),
    problems: [...parts.flatMap((part) => part.problems), ...unreadable],
  };
}

function readPath(path: string, seen: Set<string>, opener: Opener): ParseResult {
  try {
    const stat = statSync(path);
    if (stat.isDirectory()) return readFound(scan(path), opener, seen);
    if (!stat.isFile()) return { objects: [], problems: [fileProblem(path, "is neither a file nor a folder")] };
    if (seen.has(path)) return { objects: [], problems: [] };
    seen.add(path);
    return readManifestFile(path, stat.size, opener);
  } catch (error) {
    const message =
      errnoOf(error) === "ENOENT" ? "there is no such file or folder" : `can't be read: ${messageOf(error)}`;
    return { objects: [], problems: [fileProblem(path, message)] };
  }
}
