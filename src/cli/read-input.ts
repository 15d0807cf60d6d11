import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import type { Readable } from "node:stream";
import { DEFAULT_SIZE_LIMIT, oversized, type Problem } from "../manifest/index.ts";
import { readBounded } from "../source/read-bounded.ts";
import { fileProblem } from "../source/read-file.ts";
import { scan } from "../source/scan.ts";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";

export interface Input {
  /** As typed, or found in a folder; "stdin" for `-`. For messages. */
  readonly path: string;
  readonly bytes: Uint8Array;
  /** Undefined for stdin. */
  readonly fileName: string | undefined;
}

export interface Inputs {
  readonly inputs: readonly Input[];
  /** Of files in folders that can't be read: the others are read all the same. */
  readonly problems: readonly Problem[];
}

/**
 * Reads files, folders (what the daemon would read of them) and `-` for stdin.
 * @throws GantryError `not-found` or `usage` for a path that can't be read
 */
export async function readInputs(paths: readonly string[]): Promise<Inputs> {
  if (paths.filter((path) => path === "-").length > 1) {
    throw new GantryError("usage", "stdin ('-') can be read only once", { hint: "Give '-' once." });
  }
  const inputs: Input[] = [];
  const problems: Problem[] = [];
  for (const path of paths) {
    if (path === "-") inputs.push({ path: "stdin", bytes: await readStream(process.stdin), fileName: undefined });
    else if ((await reading(path, () => stat(path))).isDirectory()) readFolder(path, inputs, problems);
    else inputs.push(await readInput(path));
  }
  return { inputs, problems };
}

function readFolder(path: string, inputs: Input[], problems: Problem[]): void {
  const { files, unreadable } = scan(path);
  const whole = unreadable.find((place) => place.path === path);
  if (whole !== undefined) {
    throw new GantryError("usage", `cannot read ${path}: ${whole.message}`, { hint: "Check its permissions." });
  }
  if (files.length + unreadable.length === 0) {
    throw new GantryError("not-found", `${path} holds no .yaml, .yml or .json file`, {
      hint: "Give the path of a manifest.",
    });
  }
  problems.push(...unreadable.map((place) => fileProblem(place.path, place.message)));
  for (const file of files) {
    if (file.size > DEFAULT_SIZE_LIMIT) problems.push(...oversized(file.path, file.size).problems);
    else {
      try {
        const bytes = readBounded(file.path, DEFAULT_SIZE_LIMIT);
        inputs.push({ path: file.path, bytes, fileName: basename(file.path) });
      } catch (error) {
        problems.push(fileProblem(file.path, `can't be read: ${messageOf(error)}`));
      }
    }
  }
}

async function readInput(path: string): Promise<Input> {
  const found = await reading(path, () => stat(path));
  // A pipe is fine: that is what <(…) of a shell is. A device might never end.
  if (!found.isFile() && !found.isFIFO()) {
    throw new GantryError("usage", `${path} is not a file`, { hint: "Give the path of a manifest, or - for stdin." });
  }
  if (found.size > DEFAULT_SIZE_LIMIT) {
    const [problem] = oversized(path, found.size).problems;
    throw new GantryError("usage", `${path}: ${problem?.message ?? "too large"}`, { hint: "Is it the right file?" });
  }
  const read = async (): Promise<Uint8Array> =>
    found.isFIFO() ? readStream(createReadStream(path)) : readBounded(path, DEFAULT_SIZE_LIMIT);
  return { path, bytes: await reading(path, read), fileName: basename(path) };
}

/** At most one byte more than a manifest may have: parsing says so then. */
async function readStream(stream: Readable): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    if (!(chunk instanceof Uint8Array)) continue;
    chunks.push(chunk);
    size += chunk.length;
    if (size > DEFAULT_SIZE_LIMIT) break;
  }
  return Buffer.concat(chunks);
}

async function reading<T>(path: string, read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") {
      throw new GantryError("not-found", `${path} does not exist`, { hint: "Check the path.", cause: error });
    }
    const text = `cannot read ${path}: ${messageOf(error)}`;
    throw new GantryError("usage", text, { hint: "Check its permissions.", cause: error });
  }
}
