/**
 * Submodules, where a source asks for them: their commits are fetched into the same copy, and their files are read as if
 * they stood in the repository itself. Which commit that is, the repository says; so its signature covers them, too.
 */
import { posix } from "node:path";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { explainFetch } from "./explain.ts";
import type { Fetched, Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";
import { SUBMODULE, type TreeEntry } from "./tree.ts";
import { parseRepositoryUrl, withoutSecrets } from "./url.ts";

/** Submodules of submodules … */
const DEEPEST = 5;
/** … of one revision. */
const MOST = 100;

/** The tree of a commit; undefined when it is not in the copy. */
export type TreeOf = (oid: string) => Promise<readonly TreeEntry[] | undefined>;

/** Every entry below `folder`, those of submodules among them; one that is not in the copy stays as it is. */
export async function treeWithSubmodules(
  tree: readonly TreeEntry[],
  folder: string,
  treeOf: TreeOf,
  depth = 0,
): Promise<readonly TreeEntry[]> {
  const parts = tree.map(async (entry) => {
    const inner = isFollowed(entry, folder) && depth < DEEPEST ? await treeOf(entry.oid) : undefined;
    if (inner === undefined) return [entry];
    const entries = await treeWithSubmodules(inner, below(folder, entry.path), treeOf, depth + 1);
    return entries.map((one) => ({ ...one, path: `${entry.path}/${one.path}` }));
  });
  return (await Promise.all(parts)).flat();
}

/**
 * Fetches the submodules of a revision that are below `folder`.
 * @returns the same, with the commits that it needs beside its own
 * @throws GantryError source-failed that names the submodule; invalid-config, cancelled
 */
export async function fetchSubmodules(
  repository: Repository,
  found: Fetched,
  spec: GitSourceSpec,
  folder: string,
  signal: AbortSignal,
): Promise<Fetched> {
  const commits = new Set<string>();
  const walk = async (oid: string, within: string, at: string, parent: GitSourceSpec, depth: number): Promise<void> => {
    const tree = await repository.tree(oid, signal);
    const wanted = tree.filter((entry) => isFollowed(entry, within));
    if (wanted.length === 0) return;
    const urls = parseModules(await repository.modules(oid, signal));
    for (const entry of wanted) {
      const path = posix.join(at, entry.path);
      const its = specOf(parent, urls.get(entry.path), path);
      if (commits.size >= MOST || depth >= DEEPEST) throw failed(path, "there are too many submodules");
      try {
        await repository.fetchCommit(entry.oid, its, signal);
      } catch (error) {
        throw explained(error, path, entry.oid, its);
      }
      commits.add(entry.oid);
      await walk(entry.oid, below(within, entry.path), path, its, depth + 1);
    }
  };
  await walk(found.revision.oid, folder, "", spec, 0);
  await repository.keepIncoming([...commits], signal);
  return commits.size === 0 ? found : { ...found, revision: { ...found.revision, submodules: [...commits].sort() } };
}

function isFollowed({ mode, path }: TreeEntry, folder: string): boolean {
  if (mode !== SUBMODULE) return false;
  return folder === "" || `${path}/`.startsWith(`${folder}/`) || folder.startsWith(`${path}/`) || folder === path;
}

/** The part of `folder` that is in the submodule at `path`. */
function below(folder: string, path: string): string {
  return folder.startsWith(`${path}/`) ? folder.slice(path.length + 1) : "";
}

/**
 * URLs by path. Pure.
 * @param output of `git config -z --get-regexp` on .gitmodules (gitmodules(5))
 */
export function parseModules(output: string): Map<string, string> {
  const sections = new Map<string, { path?: string; url?: string }>();
  for (const record of output.split("\0")) {
    const [, name = "", key = "", value = ""] = /^submodule\.(.+)\.(path|url)\n([\s\S]*)$/.exec(record) ?? [];
    if (name === "") continue;
    sections.set(name, { ...sections.get(name), [key]: value });
  }
  const found = [...sections.values()].flatMap(({ path, url }) =>
    path === undefined || url === undefined ? [] : [[path, url] as const],
  );
  return new Map(found);
}

/**
 * How the repository of a submodule is reached. A repository elsewhere must not lead to files of this host, nor to a
 * transport that the source itself may not use; and what lets us in at one host is shown to no other. Pure.
 * @throws GantryError source-failed
 */
export function specOf(parent: GitSourceSpec, written: string | undefined, path: string): GitSourceSpec {
  if (written === undefined) throw failed(path, "it is not in .gitmodules");
  const url = isRelative(written) ? resolveRelative(parent.url, written) : written;
  const [own, its] = [parseRepositoryUrl(parent.url), parseRepositoryUrl(url)];
  if (typeof its === "string") throw failed(path, `its URL ${its}`);
  if (typeof own === "string") throw failed(path, `the URL of its repository ${own}`);
  if (its.transport === "file" && own.transport !== "file") throw failed(path, "it leads to a path of this host");
  const open = its.transport === "http" || its.transport === "git";
  if (open && !parent.insecure && parent.verify === undefined)
    throw failed(path, `it leads to ${its.transport}://, which can be changed on its way`);
  const { sshKey: _key, username: _user, passwordFile: _password, ...stranger } = parent;
  if (its.transport === own.transport && hostOf(its.url) === hostOf(own.url)) return { ...parent, url };
  return { ...stranger, url };
}

function isRelative(url: string): boolean {
  return url.startsWith("./") || url.startsWith("../");
}

/** As Git does it: each "../" takes one part off the parent's URL. */
function resolveRelative(parent: string, relative: string): string {
  let base = parent.replace(/\/+$/, "");
  let rest = relative;
  for (;;) {
    if (rest.startsWith("./")) rest = rest.slice(2);
    else if (rest.startsWith("../")) {
      rest = rest.slice(3);
      base = base.replace(/[/:][^/:]*$/, (cut) => (cut.startsWith(":") ? ":" : ""));
    } else break;
  }
  return base.endsWith(":") ? `${base}${rest}` : `${base}/${rest}`;
}

/** "example.com:8443", also of the form USER@HOST:PATH. */
function hostOf(url: string): string {
  if (url.startsWith("/")) return "";
  if (url.includes("://")) return new URL(url).host;
  return url.slice(url.indexOf("@") + 1, url.indexOf(":"));
}

function explained(error: unknown, path: string, oid: string, spec: GitSourceSpec): unknown {
  const told = explainFetch(error, `commit ${oid.slice(0, 12)}`, spec.url, spec.timeoutSeconds);
  if (!isGantryError(told, "source-failed")) return told;
  const { kind, hint } = told;
  const message = `submodule ${path} (${withoutSecrets(spec.url)}): ${told.message}`;
  return new GantryError("source-failed", message, { kind, cause: error, ...(hint !== undefined && { hint }) });
}

function failed(path: string, why: string): GantryError {
  return new GantryError("source-failed", `submodule ${path} can't be followed: ${why}`, {
    hint: "Correct .gitmodules, or follow that repository as a source of its own.",
  });
}
