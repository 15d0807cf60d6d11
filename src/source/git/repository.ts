/**
 * The bare copy of one remote. Nothing is ever checked out: a revision is read object by object, so no symbolic link,
 * file name or attribute of it has any effect on this host.
 */
import { existsSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { parseCommit, type Revision } from "./commit.ts";
import { explainFetch } from "./explain.ts";
import { type GitObject, parseBatch } from "./objects.ts";
import { highestTag, parseRemoteRefs } from "./pick.ts";
import { createGit, type GitRunOptions, type RemoteAccess, type RunGit, remoteAccess } from "./run.ts";
import { type GitSourceSpec, refText } from "./schema.ts";
import { parseTree, type TreeEntry } from "./tree.ts";

const INCOMING = "refs/gantry/incoming";
/** Commits of submodules of what came last. */
const INCOMING_BESIDE = "refs/gantry/beside/";
/** Every branch of a server that gives out no single commit; for a moment only. */
const EVERYTHING = "refs/gantry/all/";
/** Objects that must outlive a collection of garbage: revisions and files in force, and those of the history. */
const KEPT = "refs/gantry/kept/";
/** Of the list of a revision's files. A few trees that name each other make up millions. */
const MOST_TREE_BYTES = 64 * 2 ** 20;
/** Blobs are read in portions of this many bytes. */
const PORTION_BYTES = 32 * 2 ** 20;

export interface Fetched {
  readonly revision: Revision;
  /** The tag object that a tag led to, where there is one: it may carry the signature. `name` is what it says itself. */
  readonly tagObject: { readonly oid: string; readonly name: string } | undefined;
}

export class Repository {
  readonly #dir: string;
  readonly #git: RunGit;
  #ready = false;

  constructor(dir: string) {
    this.#dir = dir;
    this.#git = createGit(dir);
  }

  get git(): RunGit {
    return this.#git;
  }

  /** Makes the copy, and takes away what a killed Git left locked. @throws GantryError command-missing, disk-full … */
  async open(signal: AbortSignal): Promise<void> {
    if (this.#ready) return;
    if (existsSync(join(this.#dir, "HEAD"))) await removeLocks(this.#dir);
    else {
      await mkdir(this.#dir, { recursive: true, mode: 0o700 });
      await this.#git(["init", "--bare", "--quiet", "--template="], { signal });
    }
    this.#ready = true;
  }

  /** Removes all of it; `open` begins anew. */
  async remove(): Promise<void> {
    this.#ready = false;
    await rm(this.#dir, { recursive: true, force: true });
  }

  /**
   * Fetches what the source asks for, and says what it is.
   * @throws GantryError source-failed with a sentence about the remote; invalid-config, cancelled
   */
  async fetch(spec: GitSourceSpec, signal: AbortSignal): Promise<Fetched> {
    await this.open(signal);
    const [access, options] = await accessTo(spec, signal);
    try {
      if (spec.commit !== undefined) {
        await this.#fetchCommit(spec.commit, INCOMING, access, options);
        return await this.#describe(spec.commit, undefined, signal);
      }
      const tag =
        spec.tag ?? (spec.semver === undefined ? undefined : await this.#newestTag(spec.semver, access, options));
      const from =
        tag === undefined ? (spec.branch === undefined ? "HEAD" : `refs/heads/${spec.branch}`) : `refs/tags/${tag}`;
      await this.#fetchRef(access, `+${from}:${INCOMING}`, options);
      return await this.#describe(INCOMING, tag, signal);
    } catch (error) {
      await removeLocks(this.#dir).catch(() => undefined);
      throw explainFetch(error, refText(spec), spec.url, spec.timeoutSeconds);
    }
  }

  async #newestTag(range: string, access: RemoteAccess, options: GitRunOptions): Promise<string> {
    const { stdout } = await this.#git(["ls-remote", "--tags", "--", access.url], options);
    const tag = highestTag(parseRemoteRefs(stdout), range);
    if (tag !== undefined) return tag;
    throw new GantryError("source-failed", `no tag of the repository is a version in ${JSON.stringify(range)}`, {
      hint: "Tag a commit (git tag v1.0.0), or ask for another range.",
    });
  }

  /** One commit of any repository, such as a submodule's, unless it is here already. @throws as Git fails */
  async fetchCommit(oid: string, spec: GitSourceSpec, signal: AbortSignal): Promise<void> {
    const [access, options] = await accessTo(spec, signal);
    await this.#fetchCommit(oid, `${INCOMING_BESIDE}${oid}`, access, options);
  }

  /** Of what came beside the revision, only these are needed. */
  async keepIncoming(oids: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#setRefs(INCOMING_BESIDE, oids, signal);
  }

  async #fetchCommit(oid: string, ref: string, access: RemoteAccess, options: GitRunOptions): Promise<void> {
    if (await this.has(oid, options.signal)) return;
    try {
      await this.#fetchRef(access, `+${oid}:${ref}`, options);
    } catch (error) {
      // An old server gives out only what a ref names: then everything is fetched, and it may be among that.
      if (!isGantryError(error, "command-failed")) throw error;
      try {
        await this.#git(["fetch", ...FETCH, "--no-tags", "--", access.url, `+refs/heads/*:${EVERYTHING}*`], options);
        if (!(await this.has(oid, options.signal))) throw error;
        await this.#git(["update-ref", ref, oid], { signal: options.signal });
      } finally {
        await this.#setRefs(EVERYTHING, [], options.signal).catch(() => undefined);
      }
    }
  }

  /** Without history, where the server can do that. */
  async #fetchRef(access: RemoteAccess, refspec: string, options: GitRunOptions): Promise<void> {
    const args = ["--no-tags", "--", access.url, refspec];
    try {
      await this.#git(["fetch", ...FETCH, "--depth=1", "--update-shallow", ...args], options);
    } catch (error) {
      if (!isGantryError(error, "command-failed") || !/shallow/.test(String(error.details["stderr"]))) throw error;
      await this.#git(["fetch", ...FETCH, ...args], options);
    }
  }

  async #describe(name: string, tag: string | undefined, signal: AbortSignal): Promise<Fetched> {
    const [object, commit] = await this.#read([name, `${name}^{commit}`], signal);
    if (commit?.type !== "commit")
      throw new GantryError("source-failed", "what was fetched is no commit", {
        hint: "Name a branch, a tag or a commit.",
      });
    return {
      revision: parseCommit(commit.oid, commit.bytes.toString("utf8"), tag),
      tagObject: tag !== undefined && object?.type === "tag" ? tagOf(object) : undefined,
    };
  }

  async has(oid: string, signal: AbortSignal): Promise<boolean> {
    const { exitCode } = await this.#git(["cat-file", "-e", `${oid}^{commit}`], { signal, okCodes: "any" });
    return exitCode === 0;
  }

  /** Every entry of a revision, with sizes. */
  async tree(oid: string, signal: AbortSignal): Promise<TreeEntry[]> {
    try {
      const options = { signal, binary: true, maxOutputBytes: MOST_TREE_BYTES } as const;
      return parseTree((await this.#git(["ls-tree", "-r", "-z", "-l", "--full-tree", oid], options)).stdout);
    } catch (error) {
      if (!isGantryError(error, "command-failed") || !error.message.includes(` ${MOST_TREE_BYTES} `)) throw error;
      throw new GantryError("source-failed", `commit ${oid.slice(0, 12)} has more files than can be looked at`, {
        hint: "Keep manifests in a repository of their own.",
      });
    }
  }

  /** What .gitmodules of a revision says, as `git config -z --get-regexp` prints it; "" where there is none. */
  async modules(oid: string, signal: AbortSignal): Promise<string> {
    const args = ["config", "-z", "--blob", `${oid}:.gitmodules`, "--get-regexp", "^submodule\\..*\\.(path|url)$"];
    return (await this.#git(args, { signal, okCodes: "any" })).stdout;
  }

  /** The bytes of blobs, by id. @throws GantryError source-failed when one is missing */
  async blobs(
    files: readonly { readonly oid: string; readonly size: number }[],
    signal: AbortSignal,
  ): Promise<Map<string, Buffer>> {
    const found = new Map<string, Buffer>();
    let portion: string[] = [];
    let bytes = 0;
    const take = async (): Promise<void> => {
      for (const object of await this.#read(portion, signal)) found.set(object.oid, object.bytes);
      portion = [];
      bytes = 0;
    };
    for (const { oid, size } of files) {
      portion.push(oid);
      bytes += size;
      if (bytes > PORTION_BYTES) await take();
    }
    if (portion.length > 0) await take();
    return found;
  }

  /** Keeps exactly these objects (commits or blobs) and what they need. */
  async keep(oids: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#setRefs(KEPT, oids, signal);
  }

  /** Below `folder` there is a ref to each of these objects afterwards, called by its id, and no other. */
  async #setRefs(folder: string, oids: readonly string[], signal: AbortSignal): Promise<void> {
    const { stdout } = await this.#git(["for-each-ref", "--format=%(refname)", folder], { signal });
    const there = new Set(stdout.split("\n").filter((line) => line !== ""));
    const wanted = new Map(oids.map((oid) => [`${folder}${oid}`, oid]));
    const lines = [
      ...[...wanted].flatMap(([name, oid]) => (there.has(name) ? [] : [`update ${name} ${oid}`])),
      ...[...there].flatMap((name) => (wanted.has(name) ? [] : [`delete ${name}`])),
    ];
    if (lines.length > 0) await this.#git(["update-ref", "--stdin"], { signal, input: `${lines.join("\n")}\n` });
  }

  /** Lets go of objects that nothing needs any more. */
  async collectGarbage(signal: AbortSignal): Promise<void> {
    await this.#git(["gc", "--quiet", "--prune=now"], { signal, timeoutMs: 600_000 });
  }

  async #read(names: readonly string[], signal: AbortSignal): Promise<GitObject[]> {
    const { stdout } = await this.#git(["cat-file", "--batch"], {
      signal,
      input: `${names.join("\n")}\n`,
      binary: true,
      maxOutputBytes: 4 * PORTION_BYTES,
    });
    return parseBatch(stdout);
  }
}

async function accessTo(spec: GitSourceSpec, signal: AbortSignal): Promise<[RemoteAccess, GitRunOptions]> {
  const access = await remoteAccess(spec);
  const { config, env } = access;
  return [access, { signal, timeoutMs: spec.timeoutSeconds * 1000, config, env }];
}

const FETCH = ["--quiet", "--force", "--no-write-fetch-head", "--no-recurse-submodules", "--no-auto-maintenance"];

/** What a tag object says that it is called (git-mktag(1)). */
function tagOf({ oid, bytes }: GitObject): { readonly oid: string; readonly name: string } {
  const [head = ""] = bytes.toString("utf8").split("\n\n", 1);
  return { oid, name: /^tag (.*)$/m.exec(head)?.[1] ?? "" };
}

/** Locks of a Git that was killed, and packs that it had begun; only ever called while none is at work there. */
async function removeLocks(dir: string): Promise<void> {
  const here = (await readdir(dir)).filter((name) => name.endsWith(".lock"));
  const below = existsSync(join(dir, "refs"))
    ? (await readdir(join(dir, "refs"), { recursive: true })).filter((name) => name.endsWith(".lock"))
    : [];
  const packs = join("objects", "pack");
  const begun = existsSync(join(dir, packs))
    ? (await readdir(join(dir, packs))).filter((name) => name.startsWith("tmp_"))
    : [];
  const paths = [...here, ...below.map((name) => join("refs", name)), ...begun.map((name) => join(packs, name))];
  await Promise.all(paths.map((name) => rm(join(dir, name), { force: true })));
}
