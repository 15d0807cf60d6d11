import { statfs } from "node:fs/promises";
import { GantryError, isGantryError, toGantryError } from "../system/errors.ts";
import { type ExecOptions, type ExecResult, exec } from "../system/exec.ts";

/** Long enough for any image on a slow disk; a tool that hangs still ends some day. */
const TOOL_TIMEOUT_MS = 30 * 60_000;

const PACKAGES: Readonly<Record<string, string>> = {
  skopeo: "skopeo",
  umoci: "umoci",
  "mkfs.erofs": "erofs-utils",
  tar: "tar",
  xz: "xz-utils",
  bzip2: "bzip2",
  flock: "util-linux",
  prlimit: "util-linux",
  mount: "mount",
  setpriv: "util-linux",
  gpg: "gnupg",
};

/** How to install `command`, for the error when it is missing. */
export function installHint(command: string): string {
  return `Install it: apt-get install ${PACKAGES[command] ?? command}`;
}

/**
 * Runs one of the tools that the image store is made of.
 * @throws GantryError as `exec` does, and `disk-full` when the tool complains of a full disk
 */
export async function runTool(
  command: string,
  args: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  try {
    return await exec(command, args, { timeoutMs: TOOL_TIMEOUT_MS, installHint: installHint(command), ...options });
  } catch (error) {
    throw isGantryError(error, "command-failed") ? diskFullOr(error) : error;
  }
}

/** Tools report a full disk only in words. */
function diskFullOr(error: GantryError): GantryError {
  const said = `${error.message}\n${String(error.details["stderr"] ?? "")}`;
  return /no space left on device|disk quota exceeded/i.test(said) ? diskFull(error) : error;
}

/** Less than this and a failure is put down to the disk, in bytes: some tools (GNU tar) don't say why a write failed. */
const FULL_BYTES = 64 * 1024;

/** The error as it is, or `disk-full` when the filesystem of `dir` has no room left. */
export async function blameFullDisk(error: GantryError, dir: string): Promise<GantryError> {
  if (error.code !== "image-invalid" && error.code !== "command-failed" && error.code !== "internal") return error;
  const { bfree, bsize, files, ffree } = await statfs(dir);
  return bfree * bsize < FULL_BYTES || (files > 0 && ffree === 0) ? diskFull(error) : error;
}

function diskFull(error: GantryError): GantryError {
  return new GantryError("disk-full", `no space left on the disk of the image store: ${error.message}`, {
    kind: "system",
    cause: error,
    hint: "Free some disk space, for instance with 'gantry image rm', and try again.",
  });
}

/** Turns a tool's refusal of the input into `image-invalid`; what is not the input's fault stays as it is. */
export function invalidImage(error: unknown, what: string, hint?: string): GantryError {
  const known = toGantryError(error);
  if (known.code !== "command-failed" && known.code !== "internal") return known;
  return new GantryError("image-invalid", `${what}: ${reason(known)}`, {
    cause: error,
    hint: hint ?? "Make the file again, e.g. with 'docker save', 'podman save' or 'skopeo copy'.",
  });
}

/** The last thing that the tool said, without its log prefixes. */
function reason(error: GantryError): string {
  const stderr = error.details["stderr"];
  const lines = typeof stderr === "string" ? stderr.trim().split("\n") : [];
  const last =
    lines.filter((line) => !/exiting (now|with failure)|Error is not recoverable/i.test(line)).at(-1) ?? error.message;
  const logged = /msg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1];
  return (logged?.replaceAll('\\"', '"') ?? last).replace(/^\s*⨯\s*/u, "").trim() || error.message;
}
