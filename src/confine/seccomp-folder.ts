import { realpath } from "node:fs/promises";
import { join } from "node:path";
import { readBounded } from "../source/read-bounded.ts";
import { errnoOf, GantryError, isGantryError, messageOf } from "../system/errors.ts";
import { parseSeccompProfile, type SeccompProfile } from "./seccomp-profile.ts";

/** Docker's own has 30 KiB. */
const MAX_BYTES = 1024 * 1024;

/**
 * Reads a profile, anew each time: it may have been corrected.
 * @param name relative, without ".."; no link leads it out of the folder either
 * @throws GantryError config-missing, invalid-config
 */
export async function readSeccompProfile(folder: string, name: string): Promise<SeccompProfile> {
  const path = join(folder, name);
  const real = await inside(folder, name);
  const invalid = (message: string, hint: string, cause: unknown): GantryError =>
    new GantryError("invalid-config", `the seccomp profile ${path} ${message}`, { hint, cause });
  let bytes: Buffer;
  try {
    bytes = readBounded(real, MAX_BYTES);
  } catch (cause) {
    throw invalid(`can't be read: ${messageOf(cause)}`, "It must be a file with a profile in JSON.", cause);
  }
  if (bytes.length > MAX_BYTES)
    throw invalid(`is larger than ${MAX_BYTES} bytes`, "It must be a file with a profile in JSON.", undefined);
  try {
    return parseSeccompProfile(bytes.toString("utf8"));
  } catch (error) {
    if (!isGantryError(error, "invalid-config")) throw error;
    throw invalid(error.message, "Correct it; it is read again at the next try.", error);
  }
}

async function inside(folder: string, name: string): Promise<string> {
  const path = join(folder, name);
  try {
    const [root, real] = await Promise.all([realpath(folder), realpath(path)]);
    if (real.startsWith(`${root}/`)) return real;
  } catch (cause) {
    const gone = errnoOf(cause) === "ENOENT" || errnoOf(cause) === "ENOTDIR";
    throw new GantryError(
      gone ? "config-missing" : "invalid-config",
      gone ? `there is no seccomp profile ${path}` : `the seccomp profile ${path} can't be read: ${messageOf(cause)}`,
      { hint: `Profiles are JSON files in ${folder} (seccomp.profiles in the configuration).`, cause },
    );
  }
  throw new GantryError("invalid-config", `the seccomp profile ${path} is a link that leads out of ${folder}`, {
    hint: "Copy the file into the folder.",
  });
}
