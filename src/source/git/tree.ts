/** The files of a revision, from `git ls-tree`: which of them are manifests, and which must not be followed. Pure. */
import { posix } from "node:path";
import { isManifestName } from "../names.ts";

export interface TreeEntry {
  readonly mode: string;
  readonly type: string;
  readonly oid: string;
  /** Bytes; undefined for what is no blob. */
  readonly size: number | undefined;
  readonly path: string;
}

/** @param output of `git ls-tree -r -z -l --full-tree`, one character a byte */
export function parseTree(output: string): TreeEntry[] {
  return output.split("\0").flatMap((record) => {
    const match = /^(\d{6}) (\w+) ([0-9a-f]+)\s+(-|\d+)\t([\s\S]+)$/.exec(record);
    if (match === null) return [];
    const [, mode = "", type = "", oid = "", size = "-", path = ""] = match;
    return [
      { mode, type, oid, size: size === "-" ? undefined : Number(size), path: Buffer.from(path, "latin1").toString() },
    ];
  });
}

export interface TreeFile {
  readonly path: string;
  readonly oid: string;
  /** Bytes */
  readonly size: number;
}

export interface TreeComplaint {
  readonly path: string;
  readonly severity: "error" | "warning";
  readonly message: string;
  readonly hint?: string;
}

export interface Selection {
  readonly files: readonly TreeFile[];
  readonly links: readonly TreeEntry[];
  readonly complaints: readonly TreeComplaint[];
}

const LINK = "120000";
/** As in the kernel (PATH_MAX); a longer one leads nowhere on any host. Bytes. */
const LONGEST_LINK = 4096;
/** No work tree could have it, and every message would name it. */
const LONGEST_PATH = 4096;
export const SUBMODULE = "160000";

const RENDER = "Gantry runs plain YAML: render it in CI (kustomize build, helm template) and commit the result.";
const RENDERED: Readonly<Record<string, string>> = {
  "kustomization.yaml": "is of Kustomize",
  "kustomization.yml": "is of Kustomize",
  Kustomization: "is of Kustomize",
  "Chart.yaml": "is of a Helm chart",
};

/** The manifests below `folder`, by the same names as in a folder on disk; sorted by path. */
export function selectManifests(entries: readonly TreeEntry[], folder: string): Selection {
  const files: TreeFile[] = [];
  const links: TreeEntry[] = [];
  const complaints: TreeComplaint[] = [];
  for (const entry of entries) {
    const below = relative(entry.path, folder);
    if (below === undefined || below.split("/").some((part) => part.startsWith("."))) continue;
    const name = below.slice(below.lastIndexOf("/") + 1);
    const made = RENDERED[name];
    if (entry.path.length > LONGEST_PATH)
      complaints.push({
        path: `${entry.path.slice(0, 100)}…`,
        severity: "error",
        message: "has a path that is too long",
      });
    else if (made !== undefined) complaints.push({ path: entry.path, severity: "error", message: made, hint: RENDER });
    else if (entry.mode === LINK && (entry.size ?? 0) > LONGEST_LINK)
      complaints.push({ path: entry.path, severity: "error", message: "is a symbolic link that is too long" });
    else if (entry.mode === LINK) links.push(entry);
    else if (entry.mode === SUBMODULE)
      complaints.push({
        path: entry.path,
        severity: "warning",
        message: "is a submodule, which is not followed",
        hint: "Set submodules of the source, or follow that repository as a source of its own.",
      });
    else if (entry.type === "blob" && isManifestName(name))
      files.push({ path: entry.path, oid: entry.oid, size: entry.size ?? 0 });
  }
  files.sort((a, b) => (a.path < b.path ? -1 : 1));
  return { files, links, complaints };
}

/** Path below the folder; undefined for what is elsewhere. */
function relative(path: string, folder: string): string | undefined {
  if (folder === "") return path;
  return path.startsWith(`${folder}/`) ? path.slice(folder.length + 1) : undefined;
}

/** Whose texts following these links may ask for: one may lead to another that is elsewhere. */
export function linksToRead(links: readonly TreeEntry[], all: readonly TreeEntry[]): readonly TreeEntry[] {
  return links.length === 0 ? [] : all.filter(({ mode, size = 0 }) => mode === LINK && size <= LONGEST_LINK);
}

const MOST_STEPS = 10;
/** Links to folders, and files by way of them: a few links may name the same files over and over. */
const MOST_FOLDERS = 100;
const MOST_LINKED = 10_000;

/**
 * What links lead to, in a repository: files that are not read anyhow. A link that leads out of the repository, or
 * into its .git, is an error; what it leads to on this host is never looked at.
 * @param all every entry of the revision
 * @param targetOf the text of a link
 */
export function followLinks(
  links: readonly TreeEntry[],
  all: readonly TreeEntry[],
  folder: string,
  targetOf: (link: TreeEntry) => string,
): Pick<Selection, "files" | "complaints"> {
  if (links.length === 0) return { files: [], complaints: [] };
  const byPath = new Map(all.map((entry) => [entry.path, entry]));
  const folders = foldersOf(all);
  let followed = 0;
  const files: TreeFile[] = [];
  const complaints: TreeComplaint[] = [];
  for (const link of links) {
    const end = resolveLink(link, byPath, folders, targetOf);
    if (typeof end === "string") {
      const wanted = isManifestName(posix.basename(link.path)) || end.includes("leaves");
      if (wanted) complaints.push({ path: link.path, severity: "error", message: end });
      continue;
    }
    const inside = (path: string): boolean => folder === "" || path === folder || path.startsWith(`${folder}/`);
    const entry = byPath.get(end.path);
    if (entry !== undefined) {
      if (inside(end.path) && isManifestName(posix.basename(end.path))) continue; // read by its own name
      if (entry.type === "blob" && isManifestName(posix.basename(link.path)))
        files.push({ path: link.path, oid: entry.oid, size: entry.size ?? 0 });
      continue;
    }
    if (inside(end.path)) continue;
    followed += 1;
    if (followed > MOST_FOLDERS || files.length > MOST_LINKED) {
      complaints.push({ path: link.path, severity: "error", message: "is one symbolic link too many to folders" });
      break;
    }
    // A folder beside the one that is followed: its manifests count as if they stood here.
    const below = selectManifests(all, end.path);
    const here = (path: string): string => `${link.path}${path.slice(end.path.length)}`;
    files.push(...below.files.map((file) => ({ ...file, path: here(file.path) })));
    complaints.push(...below.complaints.map((one) => ({ ...one, path: here(one.path) })));
  }
  return { files, complaints };
}

function foldersOf(all: readonly TreeEntry[]): ReadonlySet<string> {
  const folders = new Set<string>();
  for (const { path } of all) {
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const folder = path.slice(0, end);
      if (folders.has(folder)) break; // and with it all above
      folders.add(folder);
    }
  }
  return folders;
}

/** @returns the path that a link ends at, or what is wrong with it */
function resolveLink(
  link: TreeEntry,
  byPath: ReadonlyMap<string, TreeEntry>,
  folders: ReadonlySet<string>,
  targetOf: (link: TreeEntry) => string,
): { readonly path: string } | string {
  let at = link;
  for (let step = 0; step < MOST_STEPS; step++) {
    const target = targetOf(at);
    const shown = JSON.stringify(target.slice(0, 200));
    if (target.startsWith("/") || target.includes("\0"))
      return `is a symbolic link that leaves the repository (to ${shown})`;
    const path = posix.normalize(posix.join(posix.dirname(at.path), target)).replace(/\/$/, "");
    if (path === ".." || path.startsWith("../") || path.split("/").includes(".git"))
      return `is a symbolic link that leaves the repository (to ${shown})`;
    const next = byPath.get(path);
    if (next?.mode !== LINK) {
      if (next === undefined && path !== "." && !folders.has(path)) return `is a symbolic link to nothing (${shown})`;
      return { path: path === "." ? "" : path };
    }
    at = next;
  }
  return "is a symbolic link that leads to itself";
}
