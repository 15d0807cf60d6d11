/**
 * Manifests of a Git revision, read out of the object store as a Git source reads them: nothing is checked out, so the
 * work tree stays as it is, and no symbolic link, hook or filter of the repository has any effect.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, posix } from "node:path";
import { DEFAULT_SIZE_LIMIT, oversized, type Problem } from "../manifest/index.ts";
import { parseBatch } from "../source/git/objects.ts";
import {
  followLinks,
  linksToRead,
  parseTree,
  type Selection,
  selectManifests,
  type TreeEntry,
} from "../source/git/tree.ts";
import { fileProblem } from "../source/read-file.ts";
import { GantryError } from "../system/errors.ts";
import { type LocalRepository, localGit } from "./local-git.ts";
import type { Input, Inputs } from "./read-input.ts";

export interface Revision extends Inputs {
  /** The commit's full id. */
  readonly commit: string;
}

const FETCH_TIMEOUT_MS = 300_000;

/**
 * What a daemon would read of `path` in the revision `name` (branch, tag, commit, HEAD~1 …).
 * @param path inside the repository; "" or "." for all of it. A file that is named is read whatever its name is
 * @returns undefined when the revision has nothing there
 * @throws GantryError `not-found` (no repository, no such revision), `usage`, `command-missing`, `command-failed`
 */
export async function readRevision(repo: LocalRepository, name: string, path: string): Promise<Revision | undefined> {
  const commit = await commitOf(repo, name);
  const inside = normalized(path);
  const all = parseTree((await localGit(repo, ["ls-tree", "-r", "-z", "-l", "--full-tree", commit])).stdout);
  if (!all.some((entry) => inside === "" || `${entry.path}/`.startsWith(`${inside}/`))) return undefined;
  const { files, links, complaints } = selectionOf(all, inside);
  const texts = await readBlobs(repo, linksToRead(links, all));
  const linked = followLinks(links, all, inside, ({ oid }) => texts.get(oid)?.toString() ?? "");
  const wanted = [...files, ...linked.files];
  const small = wanted.filter(({ size }) => size <= DEFAULT_SIZE_LIMIT);
  const bytes = await readBlobs(repo, small);
  const problems: Problem[] = [
    ...[...complaints, ...linked.complaints].map(({ path: file, message, severity, hint }) => {
      return { ...fileProblem(file, message, severity), hint };
    }),
    ...wanted.flatMap(({ path: file, size }) => (size > DEFAULT_SIZE_LIMIT ? oversized(file, size).problems : [])),
  ];
  const inputs = small.map(({ path: file, oid }): Input => {
    return { path: file, bytes: bytes.get(oid) ?? Buffer.alloc(0), fileName: basename(file) };
  });
  return { commit, inputs, problems };
}

function selectionOf(all: readonly TreeEntry[], inside: string): Selection {
  const named = all.find(({ path, type }) => path === inside && type === "blob");
  if (named === undefined) return selectManifests(all, inside);
  if (named.mode === "120000") return { files: [], links: [named], complaints: [] };
  return { files: [{ path: named.path, oid: named.oid, size: named.size ?? 0 }], links: [], complaints: [] };
}

/**
 * A bare repository that holds one revision of `url`, removed when `use` has ended.
 * @param name a branch, tag or commit; undefined for the remote's HEAD
 */
export async function withRemote<T>(
  url: string,
  name: string | undefined,
  signal: AbortSignal,
  use: (repo: LocalRepository, revision: string) => Promise<T>,
): Promise<T> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-remote-"));
  const repo = { directory, signal };
  try {
    const wanted = name ?? "HEAD";
    assertName(wanted);
    if (url.startsWith("-")) throw new GantryError("usage", `'${url}' is no URL of a repository`, { hint: URL_HINT });
    await localGit(repo, ["init", "--quiet", "--bare", "."]);
    const flags = ["--quiet", "--depth=1", "--no-tags", "--no-recurse-submodules", "--end-of-options"];
    await localGit(repo, ["fetch", ...flags, url, wanted], { timeoutMs: FETCH_TIMEOUT_MS });
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

async function commitOf(repo: LocalRepository, name: string): Promise<string> {
  assertName(name);
  const args = ["rev-parse", "--verify", "--quiet", "--end-of-options", `${name}^{commit}`];
  const { stdout, exitCode } = await localGit(repo, args, { mayFail: true });
  if (exitCode === 0) return stdout.trim();
  await localGit(repo, ["rev-parse", "--git-dir"]);
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

/** By id. */
async function readBlobs(
  repo: LocalRepository,
  entries: readonly { readonly oid: string }[],
): Promise<Map<string, Buffer>> {
  if (entries.length === 0) return new Map();
  const input = [...new Set(entries.map(({ oid }) => oid))].map((oid) => `${oid}\n`).join("");
  const { stdout } = await localGit(repo, ["cat-file", "--batch"], { input });
  return new Map(parseBatch(stdout).map(({ oid, bytes }) => [oid, bytes]));
}
