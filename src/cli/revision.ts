/**
 * Manifests of a Git revision, read out of the object store: nothing is checked out, so the work tree stays as it
 * is, and no symbolic link, hook or filter of the repository has any effect.
 */
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, posix } from "node:path";
import { DEFAULT_SIZE_LIMIT, oversized, type Problem } from "../manifest/index.ts";
import { isManifestName } from "../source/names.ts";
import { fileProblem } from "../source/read-file.ts";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import type { Input, Inputs } from "./read-input.ts";

export interface Revision extends Inputs {
  /** The commit's full id. */
  readonly commit: string;
}

/** A repository to read from, on this machine. */
export interface Repository {
  readonly directory: string;
  readonly signal: AbortSignal;
}

const MAX_OUTPUT_BYTES = 512 * 2 ** 20;
const LOCAL_TIMEOUT_MS = 60_000;
const FETCH_TIMEOUT_MS = 300_000;

/**
 * What a daemon would read of `path` in the revision `name` (branch, tag, commit, HEAD~1 …).
 * @param path inside the repository; "" or "." for all of it
 * @returns undefined when the revision has nothing there
 * @throws GantryError `not-found` (no repository, no such revision), `usage`, `command-missing`, `command-failed`
 */
export async function readRevision(repo: Repository, name: string, path: string): Promise<Revision | undefined> {
  const commit = await commitOf(repo, name);
  const inside = normalized(path);
  const entries = await listTree(repo, commit, inside);
  if (entries.length === 0) return undefined;
  const problems: Problem[] = [];
  const wanted = entries.filter((entry) => isWanted(entry.path, inside));
  const blobs = wanted.filter((entry) => {
    const { type, path: file, size } = entry;
    if (type === "link") return false;
    if (size <= DEFAULT_SIZE_LIMIT) return true;
    problems.push(...oversized(file, size).problems);
    return false;
  });
  const links = wanted.filter(({ type }) => type === "link");
  const bytes = await readBlobs(repo, [...blobs, ...links]);
  const inputs = blobs.map(({ path: file, id }): Input => {
    return { path: file, bytes: bytes.get(id) ?? Buffer.alloc(0), fileName: basename(file) };
  });
  const files = new Set(entries.map((entry) => entry.path));
  for (const { path: file, id } of links) {
    const target = posix.normalize(posix.join(posix.dirname(file), (bytes.get(id) ?? "").toString()));
    const absolute = (bytes.get(id) ?? "").toString().startsWith("/");
    // Where it leads to a file that is read anyhow, it adds nothing: as in a folder, a file counts once.
    if (!absolute && files.has(target)) continue;
    const leaves = absolute || target.startsWith("..");
    const message = leaves
      ? "is a symbolic link that leaves the repository"
      : "is a symbolic link to nothing that is read";
    problems.push(fileProblem(file, message));
  }
  return { commit, inputs, problems };
}

/**
 * A bare repository that holds one revision of `url`, removed when `use` has ended.
 * @param name a branch, tag or commit; undefined for the remote's HEAD
 */
export async function withRemote<T>(
  url: string,
  name: string | undefined,
  signal: AbortSignal,
  use: (repo: Repository, revision: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-remote-"));
  const repo = { directory, signal };
  try {
    const wanted = name ?? "HEAD";
    assertName(wanted);
    if (url.startsWith("-")) throw new GantryError("usage", `'${url}' is no URL of a repository`, { hint: URL_HINT });
    await git(repo, ["init", "--quiet", "--bare", "."]);
    await git(
      repo,
      ["fetch", "--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options", url, wanted],
      {
        timeoutMs: FETCH_TIMEOUT_MS,
      },
    );
    return await use(repo, "FETCH_HEAD");
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

const URL_HINT = "For example: https://git.example.com/team/pods.git";

/** A URL, or scp's form of one: not the path of a folder. */
export function isRemoteUrl(text: string): boolean {
  return /^[a-z][a-z0-9+.-]*:\/\//i.test(text) || /^[\w.-]+@[\w.-]+:/.test(text);
}

async function commitOf(repo: Repository, name: string): Promise<string> {
  assertName(name);
  const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`];
  const found = await git(repo, args, { mayFail: true });
  if (found !== undefined) return found.toString().trim();
  await git(repo, ["rev-parse", "--git-dir"]);
  throw new GantryError("not-found", `there is no revision '${name}' in ${repo.directory}`, {
    hint: "In CI the checkout may be shallow: fetch the whole history (fetch-depth: 0, GIT_DEPTH: 0).",
  });
}

function assertName(name: string): void {
  if (name !== "" && !name.startsWith("-") && !name.includes("\0") && !name.includes(":")) return;
  throw new GantryError("usage", `'${name}' is no name of a revision`, {
    hint: "Give a branch, a tag or a commit; for example: origin/main",
  });
}

function normalized(path: string): string {
  const inside = posix.normalize(path === "" ? "." : path).replace(/\/$/, "");
  if (inside.startsWith("..") || inside.startsWith("/")) {
    throw new GantryError("usage", `${path} is not inside the repository`, {
      hint: "Give the path from the top of the repository.",
    });
  }
  return inside === "." ? "" : inside;
}

/** As in a folder: no hidden files and folders. What is named itself is read whatever its name is. */
function isWanted(path: string, inside: string): boolean {
  if (path === inside) return true;
  const below = inside === "" ? path : path.slice(inside.length + 1);
  return isManifestName(basename(path)) && below.split("/").every((part) => !part.startsWith("."));
}

interface Entry {
  readonly type: "file" | "link";
  readonly id: string;
  readonly size: number;
  readonly path: string;
}

async function listTree(repo: Repository, commit: string, inside: string): Promise<Entry[]> {
  const paths = inside === "" ? [] : ["--", inside];
  const out = await git(repo, ["ls-tree", "-r", "-l", "-z", "--full-tree", commit, ...paths], { literal: true });
  return (out ?? Buffer.alloc(0))
    .toString()
    .split("\0")
    .flatMap((line): Entry[] => {
      const [, mode = "", id = "", size = "", path = ""] = /^(\d+) blob ([0-9a-f]+) +(\d+)\t(.+)$/s.exec(line) ?? [];
      return path === "" ? [] : [{ type: mode === "120000" ? "link" : "file", id, size: Number(size), path }];
    });
}

/** By id. */
async function readBlobs(repo: Repository, entries: readonly Entry[]): Promise<Map<string, Buffer>> {
  const found = new Map<string, Buffer>();
  if (entries.length === 0) return found;
  const input = [...new Set(entries.map(({ id }) => id))].map((id) => `${id}\n`).join("");
  const out = (await git(repo, ["cat-file", "--batch"], { input })) ?? Buffer.alloc(0);
  for (let at = 0; at < out.length; ) {
    const end = out.indexOf(10, at);
    const [id = "", , size] = out.subarray(at, end).toString().split(" ");
    if (size === undefined) {
      throw new GantryError("command-failed", `${repo.directory} is not whole: object ${id} is missing`, {
        kind: "system",
        hint: "Fetch the revision again: git fetch --refetch",
      });
    }
    const start = end + 1;
    found.set(id, out.subarray(start, start + Number(size)));
    at = start + Number(size) + 1;
  }
  return found;
}

interface GitOptions {
  readonly input?: string;
  readonly timeoutMs?: number;
  /** undefined instead of an error. */
  readonly mayFail?: boolean;
  /** Paths are names, not patterns. */
  readonly literal?: boolean;
}

const OF_A_REPOSITORY =
  /^GIT_(DIR|WORK_TREE|INDEX_FILE|OBJECT_DIRECTORY|ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|NAMESPACE|PREFIX)$/;

/** Bytes, unlike `exec`. The repository's own hooks and helpers are not run, and nobody is asked for a password. */
function git(repo: Repository, args: readonly string[], options: GitOptions = {}): Promise<Buffer | undefined> {
  const safe = ["-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.ext.allow=never"];
  // A hook of Git is told its repository in variables, which would win over the folder.
  const own = Object.entries(process.env).filter(([name]) => !OF_A_REPOSITORY.test(name));
  const env = { ...Object.fromEntries(own), GIT_TERMINAL_PROMPT: "0", LC_ALL: "C", GIT_OPTIONAL_LOCKS: "0" };
  return new Promise((resolve, reject) => {
    const child = execFile(
      "git",
      [...safe, ...(options.literal === true ? ["--literal-pathspecs"] : []), ...args],
      {
        cwd: repo.directory,
        encoding: "buffer",
        maxBuffer: MAX_OUTPUT_BYTES,
        timeout: options.timeoutMs ?? LOCAL_TIMEOUT_MS,
        signal: repo.signal,
        env,
      },
      (error, stdout, stderr) => {
        if (error === null) return resolve(stdout);
        if (options.mayFail === true && typeof error.code === "number") return resolve(undefined);
        reject(failure(error, stderr.toString(), repo.directory));
      },
    );
    child.stdin?.on("error", () => {}); // it ended early: its exit code tells
    child.stdin?.end(options.input ?? "");
  });
}

function failure(error: Error, said: string, directory: string): GantryError {
  if (errnoOf(error) === "ENOENT") {
    return new GantryError("command-missing", "git is not installed, or the folder is not there", {
      hint: `Install git (apt-get install git), and check the path ${directory}.`,
      cause: error,
    });
  }
  if (errnoOf(error) === "ABORT_ERR") return new GantryError("cancelled", "git was cancelled", { cause: error });
  if ("killed" in error && error.killed === true) {
    return new GantryError("timeout", "git did not end in time", { kind: "system", cause: error, hint: "Try again." });
  }
  if (/dubious ownership/.test(said)) {
    return new GantryError("conflict", `${directory} belongs to another user, so git does not read it`, {
      cause: error,
      hint: `Run: git config --global --add safe.directory ${directory}`,
    });
  }
  if (/not a git repository/.test(said)) {
    return new GantryError("not-found", `${directory} is no Git repository`, {
      hint: "Run it inside a clone, or name one: --repo DIR",
      cause: error,
    });
  }
  // Credentials in a URL are nobody's business in a log.
  const last = (said.trim().split("\n").at(-1) ?? messageOf(error)).replaceAll(/\/\/[^/@\s]+@/g, "//");
  return new GantryError("command-failed", `git failed: ${last}`, {
    kind: "system",
    cause: error,
    hint: "Try the same with git itself; in CI, check its credentials.",
  });
}
