/** One manifest file, from the disk to objects and problems. */
import { DEFAULT_SIZE_LIMIT, oversized, type ParseResult, type Problem, parseManifest } from "../manifest/index.ts";
import {
  assertNamedRight,
  closedProblem,
  encryptionOf,
  type Opener,
  parseOpened,
  Undecryptable,
} from "../secrets/index.ts";
import { messageOf } from "../system/errors.ts";
import { readBounded } from "./read-bounded.ts";

export interface ReadFile extends ParseResult {
  /** The bytes as text, when every object in it is good. */
  readonly text: string | undefined;
  /** undefined when it could not be read. */
  readonly bytes: Buffer | undefined;
  /** Of an encrypted file, whose text is "" then: what it says in clear must not reach a disk. */
  readonly secret?: "open" | "closed" | "pending";
}

/**
 * Never throws: a file that can't be read is a problem of that file. `size` is in bytes. Encrypted ones are read with
 * `opener`, and `pending` until it has opened them.
 */
export function readManifestFile(
  path: string,
  size: number,
  opener: Opener,
  sizeLimit: number = DEFAULT_SIZE_LIMIT,
): ReadFile {
  if (size > sizeLimit) return { ...oversized(path, size, sizeLimit), text: undefined, bytes: undefined };
  try {
    const bytes = readBounded(path, sizeLimit);
    const encryption = bytes.length > sizeLimit ? undefined : encryptionOf(bytes);
    if (encryption !== undefined) {
      const opened = opener.open(bytes, encryption);
      if (opened.type === "pending") return { objects: [], problems: [], text: undefined, bytes, secret: "pending" };
      if (opened.type === "failed") {
        const problems = [closedProblem(path, opened.problem)];
        return { objects: [], problems, text: undefined, bytes, secret: "closed" };
      }
      const inside = parseOpened(path, opened.bytes, bytes, encryption);
      const fine = inside.problems.every(({ severity }) => severity === "warning");
      return { ...inside, text: fine ? "" : undefined, bytes, secret: "open" };
    }
    assertNamedRight(path);
    const result = parseManifest(path, bytes, { sizeLimit });
    const good = result.problems.every((problem) => problem.severity === "warning");
    return { ...result, text: good ? bytes.toString("utf8") : undefined, bytes };
  } catch (error) {
    if (error instanceof Undecryptable) {
      return {
        objects: [],
        problems: [closedProblem(path, error)],
        text: undefined,
        bytes: undefined,
        secret: "closed",
      };
    }
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
