/** The age identities of this host: files as age-keygen writes them. */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";

const IDENTITY = /^AGE-SECRET-KEY-(PQ-)?1[0-9A-Z]+$/;
const SIZE_LIMIT = 64 * 1024;

/**
 * Every identity of the files. A key that others may read is no secret, so such a file is refused.
 * @throws GantryError `invalid-config` with the file and what to do
 */
export function readKeys(files: readonly string[]): string[] {
  return [...new Set(files.flatMap(readKeyFile))];
}

function readKeyFile(file: string): string[] {
  const text = readGuarded(file);
  const keys: string[] = [];
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    // The line itself may be a mistyped key: it is not shown.
    if (!IDENTITY.test(line)) {
      throw new GantryError("invalid-config", `${file}:${index + 1}: this is no age identity`, {
        hint: "A line begins with AGE-SECRET-KEY-1, as 'gantry secret keygen' and 'age-keygen' write it, or with #.",
      });
    }
    keys.push(line);
  }
  if (keys.length > 0) return keys;
  throw new GantryError("invalid-config", `${file}: there is no age identity in it`, {
    hint: `Make one: gantry secret keygen --output ${file}`,
  });
}

function readGuarded(file: string): string {
  let fd: number;
  try {
    fd = openSync(file, constants.O_RDONLY | constants.O_NONBLOCK);
  } catch (cause) {
    const missing = errnoOf(cause) === "ENOENT";
    const message = missing
      ? `the age key file ${file} is not there`
      : `can't read the age key file ${file}: ${messageOf(cause)}`;
    const hint = missing
      ? `Put it there, make one with 'gantry secret keygen --output ${file}', or mend secrets.age.keys.`
      : "Check its permissions.";
    throw new GantryError("invalid-config", message, { cause, hint });
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > SIZE_LIMIT) {
      throw new GantryError("invalid-config", `the age key file ${file} is no file of keys`, {
        hint: "Name a file as 'age-keygen' writes it in secrets.age.keys.",
      });
    }
    if ((stat.mode & 0o077) !== 0) {
      const mode = (stat.mode & 0o777).toString(8).padStart(4, "0");
      throw new GantryError(
        "invalid-config",
        `the age key file ${file} has mode ${mode}: others may read or change it`,
        {
          hint: `Run: chmod 600 ${file}`,
        },
      );
    }
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}
