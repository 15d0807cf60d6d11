/** A revision, from the copy of the repository to objects and problems. */
import { setImmediate as turnOfOthers } from "node:timers/promises";
import { DEFAULT_SIZE_LIMIT, oversized, type ParseResult, type Problem } from "../../manifest/index.ts";
import { GantryError } from "../../system/errors.ts";
import { type Content, contentOf, type ParsedFile } from "./content.ts";
import type { Kept } from "./facts.ts";
import type { Repository } from "./repository.ts";
import type { GitSourceSpec } from "./schema.ts";
import { treeWithSubmodules } from "./submodules.ts";
import {
  followLinks,
  linksToRead,
  selectManifests,
  type TreeComplaint,
  type TreeEntry,
  type TreeFile,
} from "./tree.ts";

/**
 * The objects of one file, encrypted or in clear; never throws. `closed`: it could not be decrypted, so what it asks for
 * is not known.
 */
export type ParseFile = (file: string, bytes: Uint8Array) => Promise<ParseResult & { readonly closed: boolean }>;

/** How the files of a source are called in places: "git:infra/apps/web.yaml". */
export function placeFile(source: string, path: string): string {
  return `${placePrefix(source)}${path}`;
}

export function placePrefix(source: string): string {
  return `git:${source}/`;
}

/** The source and path of such a place; undefined for a file on disk. */
export function gitPlace(file: string): { readonly source: string; readonly path: string } | undefined {
  const match = /^git:([a-z0-9-]+)\/(.+)$/.exec(file);
  return match === null ? undefined : { source: match[1] ?? "", path: match[2] ?? "" };
}

export class RevisionReader {
  readonly #repository: Repository;
  readonly #source: string;
  readonly #submodules: boolean;
  readonly #parseFile: ParseFile;
  /** Files that are in force, so that of a new revision only those that changed are read and parsed. */
  #parsed: ReadonlyMap<string, ParsedFile> = new Map();

  constructor(repository: Repository, spec: Pick<GitSourceSpec, "name" | "submodules">, parseFile: ParseFile) {
    this.#repository = repository;
    this.#source = spec.name;
    this.#submodules = spec.submodules;
    this.#parseFile = parseFile;
  }

  /** @param folder below which manifests count @throws GantryError source-failed when the copy is damaged */
  async read(
    oid: string,
    folder: string,
    signal: AbortSignal,
  ): Promise<Content & { readonly files: readonly ParsedFile[] }> {
    const all = await this.#tree(oid, folder, signal);
    const { files, links, complaints } = selectManifests(all, folder);
    const read = linksToRead(links, all);
    const texts = read.length === 0 ? new Map() : await this.#repository.blobs(read.map(sized), signal);
    const linked = followLinks(links, all, folder, (link) => texts.get(link.oid)?.toString() ?? "");
    const parsed = await this.#parse([...files, ...linked.files], signal);
    const problems = [...complaints, ...linked.complaints].map((one) => this.#problem(one));
    return { ...contentOf(parsed, problems), files: parsed };
  }

  /** The files that kept objects come from. */
  async readKept(kept: readonly Kept[], signal: AbortSignal): Promise<readonly ParsedFile[]> {
    if (kept.length === 0) return [];
    return this.#parse(
      kept.map(({ path, oid }) => ({ path, oid, size: 0 })),
      signal,
    );
  }

  /** From now on these are the files that are likely to be read again. */
  remember(files: readonly ParsedFile[]): void {
    // One that could not be decrypted is tried again: the key may come.
    this.#parsed = new Map(files.filter(({ closed }) => !closed).map((file) => [keyOf(file), file]));
  }

  async #tree(oid: string, folder: string, signal: AbortSignal): Promise<readonly TreeEntry[]> {
    const tree = await this.#repository.tree(oid, signal);
    if (!this.#submodules) return tree;
    return await treeWithSubmodules(tree, folder, async (commit) =>
      (await this.#repository.has(commit, signal)) ? this.#repository.tree(commit, signal) : undefined,
    );
  }

  async #parse(files: readonly TreeFile[], signal: AbortSignal): Promise<ParsedFile[]> {
    const unknown = files.filter((file) => !this.#parsed.has(keyOf(file)) && file.size <= DEFAULT_SIZE_LIMIT);
    if (unknown.reduce((sum, { size }) => sum + size, 0) > MOST_BYTES)
      throw new GantryError("source-failed", `the manifests are larger than ${MOST_BYTES / 2 ** 20} MiB together`, {
        hint: "Set path of the source to the folder of this host's manifests.",
      });
    const blobs = unknown.length === 0 ? new Map() : await this.#repository.blobs(unknown, signal);
    const parsed: ParsedFile[] = [];
    let begun = performance.now();
    for (const file of files) {
      if (performance.now() - begun > LONGEST_TURN_MS) {
        await turnOfOthers();
        begun = performance.now();
      }
      const known = this.#parsed.get(keyOf(file));
      if (known !== undefined) parsed.push(known);
      else parsed.push(await this.#parseOne(file, blobs.get(file.oid)));
    }
    return parsed;
  }

  async #parseOne({ path, oid, size }: TreeFile, bytes: Buffer | undefined): Promise<ParsedFile> {
    const file = placeFile(this.#source, path);
    if (bytes === undefined) return { path, oid, closed: false, ...oversized(file, size) };
    if (bytes.subarray(0, LFS.length).toString() === LFS) {
      const message = "is kept in Git LFS, which is not followed";
      const hint = "Manifests are small: keep them in the repository itself (git lfs untrack).";
      const problems = [this.#problem({ path, severity: "error", message, hint })];
      return { path, oid, closed: false, objects: [], problems };
    }
    return { path, oid, ...(await this.#parseFile(file, bytes)) };
  }

  #problem({ path, severity, message, hint }: TreeComplaint): Problem {
    const place = { file: placeFile(this.#source, path), line: 1, column: 1 };
    return { severity, place, field: "", message, hint, object: undefined };
  }
}

/** New in one revision, all files together: they and what is made of them are in memory at once. */
const MOST_BYTES = 64 * 2 ** 20;
/** So long the whole daemon may wait for files to be parsed. ms */
const LONGEST_TURN_MS = 20;

const LFS = "version https://git-lfs.github.com/spec/";

function keyOf({ path, oid }: { readonly path: string; readonly oid: string }): string {
  return `${oid} ${path}`;
}

function sized<T extends { readonly oid: string; readonly size: number | undefined }>(
  entry: T,
): { readonly oid: string; readonly size: number } {
  return { oid: entry.oid, size: entry.size ?? 0 };
}
