/** Replaces and removes files so that nobody ever sees half of one, and nobody's change is lost. */
import { randomBytes } from "node:crypto";
import {
  chmodSync,
  chownSync,
  closeSync,
  fsyncSync,
  linkSync,
  lstatSync,
  openSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { errnoOf, GantryError, messageOf, toGantryError } from "../system/errors.ts";

/** Refuses a file that Gantry must not write to. @throws conflict */
export function assertWritable(root: string, path: string): void {
  const real = realpathSync(path);
  if (lstatSync(path).isSymbolicLink() || !real.startsWith(`${realpathSync(root)}/`)) {
    throw new GantryError("conflict", `${path} is a symbolic link, or lies behind one`, {
      hint: `Change ${real} where it comes from.`,
    });
  }
  if ((lstatSync(path).mode & 0o222) === 0) {
    throw new GantryError("conflict", `${path} is read-only`, {
      hint: `Change it where it comes from, or allow writing: chmod u+w ${path}`,
    });
  }
}

/** Replaces `path`, of which the text was `before`, keeping its owner and mode. @throws conflict, disk-full */
export function replaceFile(path: string, before: string, text: string): void {
  const stat = lstatSync(path);
  const temporary = writeTemporary(path, text, stat.mode & 0o7777, () =>
    chownSync(temporaryOf(path), stat.uid, stat.gid),
  );
  try {
    assertUnchanged(path, before);
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw failure(error, path);
  }
}

/** Makes a new file. @throws conflict when there is one already, disk-full */
export function createFile(path: string, text: string, mode: number): void {
  const temporary = writeTemporary(path, text, mode, () => {});
  try {
    // Unlike rename, link fails when something is there.
    linkSync(temporary, path);
  } catch (error) {
    throw failure(error, path);
  } finally {
    rmSync(temporary, { force: true });
  }
}

/** Removes `path`, of which the text was `before`. @throws conflict */
export function removeFile(path: string, before: string): void {
  assertUnchanged(path, before);
  try {
    rmSync(path);
  } catch (error) {
    throw failure(error, path);
  }
}

function assertUnchanged(path: string, before: string): void {
  if (readFileSync(path, "utf8") === before) return;
  throw new GantryError("conflict", `${path} was changed meanwhile`, { hint: "Look at it, and try again." });
}

const SUFFIX = randomBytes(6).toString("hex");

/** A dotfile beside the file: no manifest, and on the same file system. */
function temporaryOf(path: string): string {
  return join(dirname(path), `.gantry-${SUFFIX}.tmp`);
}

function writeTemporary(path: string, text: string, mode: number, own: () => void): string {
  const temporary = temporaryOf(path);
  try {
    rmSync(temporary, { force: true });
    const file = openSync(temporary, "wx", 0o600);
    try {
      writeSync(file, text);
      fsyncSync(file);
    } finally {
      closeSync(file);
    }
    own();
    chmodSync(temporary, mode);
    return temporary;
  } catch (error) {
    rmSync(temporary, { force: true });
    throw failure(error, path);
  }
}

function failure(error: unknown, path: string): GantryError {
  if (error instanceof GantryError) return error;
  const code = errnoOf(error);
  if (code === "EEXIST") {
    return new GantryError("conflict", `${path} is there already`, { cause: error, hint: "Give another file name." });
  }
  if (code === "EROFS" || code === "EACCES" || code === "EPERM") {
    return new GantryError("conflict", `${path} can't be written: ${messageOf(error)}`, {
      cause: error,
      hint: "Change it where it comes from.",
    });
  }
  return toGantryError(error, "internal", `${path} can't be written`);
}
