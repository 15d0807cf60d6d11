/** One manifest file, from the disk to objects and problems. */
import { DEFAULT_SIZE_LIMIT, oversized, type ParseResult, type Problem, parseManifest } from "../manifest/index.ts";
import { messageOf } from "../system/errors.ts";
import { readBounded } from "./read-bounded.ts";

export interface ReadFile extends ParseResult {
  /** The bytes as text, when every object in it is good. */
  readonly text: string | undefined;
  /** undefined when it could not be read. */
  readonly bytes: Buffer | undefined;
}

/** Never throws: a file that can't be read is a problem of that file. `size` is in bytes. */
export function readManifestFile(path: string, size: number, sizeLimit: number = DEFAULT_SIZE_LIMIT): ReadFile {
  if (size > sizeLimit) return { ...oversized(path, size, sizeLimit), text: undefined, bytes: undefined };
  try {
    const bytes = readBounded(path, sizeLimit);
    const result = parseManifest(path, bytes, { sizeLimit });
    const good = result.problems.every((problem) => problem.severity === "warning");
    return { ...result, text: good ? bytes.toString("utf8") : undefined, bytes };
  } catch (error) {
    return {
      objects: [],
      problems: [fileProblem(path, `can't be read: ${messageOf(error)}`)],
      text: undefined,
      bytes: undefined,
    };
  }
}

/** An error about a file or folder as a whole. */
export function fileProblem(path: string, message: string, severity: Problem["severity"] = "error"): Problem {
  return {
    severity,
    place: { file: path, line: 1, column: 1 },
    field: "",
    message,
    hint: undefined,
    object: undefined,
  };
}
