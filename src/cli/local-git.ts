/** Git as whoever runs the command line has it: with their configuration and credentials, in a folder of theirs. */
import { existsSync } from "node:fs";
import { withoutSecrets } from "../source/git/url.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import { type ExecResult, exec } from "../system/exec.ts";

/** A repository to read from, on this machine. */
export interface LocalRepository {
  readonly directory: string;
  readonly signal: AbortSignal;
}

export interface LocalGitOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** An exit code that is not 0 is an answer, too. */
  readonly mayFail?: true;
}

const MAX_OUTPUT_BYTES = 512 * 2 ** 20;
const LOCAL_TIMEOUT_MS = 60_000;

const OF_A_REPOSITORY =
  /^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX)$/;

/**
 * The repository's own hooks and helpers are not run, and nobody is asked for a password.
 * @returns what it prints, one character a byte
 * @throws GantryError not-found (no repository), conflict (of another user), command-missing, command-failed, timeout, cancelled
 */
export async function localGit(
  { directory, signal }: LocalRepository,
  args: readonly string[],
  { input, timeoutMs = LOCAL_TIMEOUT_MS, mayFail }: LocalGitOptions = {},
): Promise<ExecResult> {
  const safe = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never"];
  if (!existsSync(directory)) throw noRepository(directory);
  try {
    return await exec("git", [...safe, ...args], {
      ...{ cwd: directory, signal, timeoutMs, maxOutputBytes: MAX_OUTPUT_BYTES, outputEncoding: "latin1" },
      env: environment(),
      installHint: "Install git (apt-get install git).",
      ...(input !== undefined && { input }),
      ...(mayFail === true && { okCodes: "any" }),
    });
  } catch (error) {
    throw explained(error, directory);
  }
}

/** A hook of Git is told its repository in variables, which would win over the folder. */
function environment(): Record<string, string> {
  const own = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || OF_A_REPOSITORY.test(name) ? [] : [[name, value] as const],
  );
  return { ...Object.fromEntries(own), GIT_TERMINAL_PROMPT: "0", LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" };
}

function explained(error: unknown, directory: string): unknown {
  if (isGantryError(error, "timeout"))
    return new GantryError("timeout", "git did not end in time", { kind: "system", cause: error, hint: "Try again." });
  if (!isGantryError(error, "command-failed")) return error;
  const said = String(error.details["stderr"] ?? "");
  if (/dubious ownership/.test(said)) {
    return new GantryError("conflict", `${directory} belongs to another user, so git does not read it`, {
      cause: error,
      hint: `Run: git config --global --add safe.directory ${directory}`,
    });
  }
  if (/not a git repository/.test(said)) return noRepository(directory, error);
  // Credentials in a URL are nobody's business in a log.
  const last = withoutSecrets(said.trim().split("\n").at(-1) || error.message);
  return new GantryError("command-failed", `git failed: ${last}`, {
    kind: "system",
    hint: "Try the same with git itself; in CI, check its credentials.",
  });
}

function noRepository(directory: string, cause?: unknown): GantryError {
  const hint = "Run it inside a clone, or name one: --repo DIR";
  return new GantryError("not-found", `${directory} is no Git repository`, { hint, cause });
}
