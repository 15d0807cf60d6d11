/** Puts objects into a manifest folder and takes them out: `gantry apply` and `delete`. The folder stays the truth. */
import { readFileSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { isDeepStrictEqual } from "node:util";
import {
  check,
  formatProblem,
  identityOf,
  isInert,
  isInertObject,
  isOfCluster,
  type ManifestObject,
  parseManifest,
} from "../manifest/index.ts";
import { readDocuments } from "../manifest/yaml/document.ts";
import { encryptionOf } from "../secrets/index.ts";
import { GantryError } from "../system/errors.ts";
import {
  append,
  bodyOf,
  editFields,
  editObject,
  type FieldEdit,
  type Found,
  find,
  fresh,
  newText,
  type ObjectId,
  objectsIn,
  type Replacement,
  remove,
  replace,
} from "./edit-text.ts";
import { isManifestName } from "./names.ts";
import { scan } from "./scan.ts";
import { validObject } from "./valid-object.ts";
import { assertWritable, createFile, removeFile, replaceFile } from "./write-file.ts";

export interface Written {
  readonly kind: ManifestObject["kind"];
  /** "" for kinds without namespaces. */
  readonly namespace: string;
  readonly name: string;
  readonly outcome: "created" | "configured" | "unchanged";
  /** The file's path. */
  readonly file: string;
}

export interface ManifestWriter {
  /**
   * Writes every object in `text`: one that is in the folder already is replaced where it stands, a new one gets
   * a file of its own, or goes into `fileName` (a plain name). Nothing is written when any of it can't be.
   * @throws invalid-manifest, name-invalid, conflict, disk-full
   */
  apply(text: string, fileName?: string): Promise<readonly Written[]>;
  /** Writes a valid object that is in none of the folders into a file of its own. @throws conflict, disk-full */
  create(value: unknown): Promise<readonly Written[]>;
  /** Changes fields of an object where it stands. @returns the file's path. @throws not-found, conflict, invalid-manifest */
  edit(id: ObjectId, edits: readonly FieldEdit[]): Promise<string>;
  /**
   * Turns an object where it stands into what `change` makes of what is written there; comments are kept.
   * @throws not-found, conflict, invalid-manifest, and what `change` throws
   */
  rewrite(id: ObjectId, change: (written: unknown) => unknown, dryRun: boolean): Promise<Rewritten>;
  /** The file that has the object, if one of the folders has it. */
  fileOf(id: ObjectId): string | undefined;
  /** Takes an object out of its file, and removes the file when nothing else is in it. @returns the file's path. @throws not-found, conflict */
  remove(id: ObjectId): Promise<string>;
}

export interface Rewritten {
  /** The file's path. */
  readonly file: string;
  /** With defaults. */
  readonly object: ManifestObject;
}

interface Place extends Found {
  readonly file: string;
}

/** One file while it is being edited in memory. */
interface Draft {
  readonly before: string | undefined;
  text: string;
  mode: number;
}

/** @param folders that objects are looked for in; new ones go into the first */
export function createManifestWriter(folders: readonly string[]): ManifestWriter {
  const roots = folders.map((folder) => resolve(folder));
  const [home] = roots;
  return {
    async apply(text, fileName) {
      if (home !== undefined) return apply(roots, home, text, fileName);
      throw new GantryError("conflict", "there is no manifest folder to write to", {
        hint: "Name one: --manifests DIR",
      });
    },
    async create(value) {
      return this.apply(newText(value));
    },
    edit: async (id, edits) => edit(roots, id, edits),
    rewrite: async (id, change, dryRun) => rewrite(roots, id, change, dryRun),
    fileOf: (id) => locate(roots, id)?.file,
    async remove(id) {
      const file = take(roots, id);
      while (isInert(id.kind) && locate(roots, id) !== undefined) take(roots, id);
      return file;
    },
  };
}

/** @param home the folder of new objects */
function apply(roots: readonly string[], home: string, text: string, fileName: string | undefined): Written[] {
  const wanted = checked(text, fileName ?? "manifest");
  if (fileName !== undefined) assertFileName(fileName);
  const drafts = new Map<string, Draft>();
  const placed = wanted.map((one) => ({ ...one, id: idOf(one.object), place: locate(roots, idOf(one.object)) }));
  const files = new Set(placed.flatMap(({ place }) => (place === undefined ? [] : [place.file])));
  const results = placed.map(({ object, replacement, id, place }) => {
    const file = place?.file ?? join(home, fileName ?? defaultName(id));
    // Only a file that this very text is about gets further objects.
    if (place === undefined && files.has(file)) draftOf(file, drafts);
    const outcome =
      place === undefined
        ? addTo(file, object, replacement, drafts, fileName !== undefined)
        : change(place, object, replacement, drafts);
    return { kind: object.kind, namespace: id.namespace ?? "", name: id.name, outcome, file };
  });
  for (const [file, draft] of drafts) {
    if (draft.before !== undefined) assertWritable(rootOf(roots, file), file);
    assertOthersKept(
      file,
      draft,
      wanted.map(({ object }) => idOf(object)),
    );
  }
  for (const [file, { before, text: after, mode }] of drafts) {
    if (before === undefined) createFile(file, after, mode);
    else if (before !== after) replaceFile(file, before, after);
  }
  return results;
}

/** The valid objects of a text, each with the text of its own. @throws invalid-manifest */
function checked(text: string, name: string): { readonly object: ManifestObject; readonly replacement: Replacement }[] {
  if (encryptionOf(Buffer.from(text)) !== undefined) {
    throw new GantryError("unsupported", "an encrypted manifest can't be applied: it would be written anew", {
      hint: "Copy the file into the manifest folder as it is.",
    });
  }
  const { objects, problems } = parseManifest(name, Buffer.from(text));
  const errors = problems.filter((problem) => problem.severity === "error");
  if (errors.length > 0) {
    const message = errors.map(formatProblem).join("\n");
    throw new GantryError("invalid-manifest", message, {
      hint: "Nothing was changed. Mend the manifest and try again.",
      details: { problems: errors },
    });
  }
  if (objects.length === 0) {
    const message = problems.map(formatProblem).join("\n") || "there is no manifest in it";
    throw new GantryError("invalid-manifest", message, { hint: "Nothing was changed. Give at least one object." });
  }
  const seen = new Set<string>();
  const each = objects.filter(({ object }) => {
    const identity = identityOf(object);
    const again = seen.has(identity);
    seen.add(identity);
    // The Namespace of several parts of an application may stand before each of them.
    if (again && !isInertObject(object))
      throw new GantryError("invalid-manifest", `${identity} is there twice`, { hint: "Remove one of them." });
    return !again;
  });
  const { documents } = readDocuments(text);
  const json = text.trimStart().startsWith("{");
  const found = objectsIn(text);
  return each.map(({ object }) => {
    const place = found.find((candidate) => identityEquals(candidate.value, object));
    const document = place === undefined ? undefined : documents[place.document];
    if (place === undefined || document === undefined)
      throw new GantryError("internal", `lost ${identityOf(object)} while reading it`);
    const body = place.item === undefined && !json ? bodyOf(text, document) : undefined;
    return { object, replacement: { value: place.value, text: body } };
  });
}

function identityEquals(value: unknown, object: ManifestObject): boolean {
  const other = check(value).object;
  return other !== undefined && identityOf(other) === identityOf(object);
}

function assertFileName(name: string): void {
  if (name === basename(name) && isManifestName(name) && !name.endsWith(".age")) return;
  throw new GantryError("name-invalid", `"${name}" is no name for a manifest file`, {
    hint: "Give a plain name that ends in .yaml, .yml or .json, without folders.",
  });
}

function defaultName(id: ObjectId): string {
  return [id.kind.toLowerCase(), ...(id.namespace === undefined ? [] : [id.namespace]), `${id.name}.yaml`].join("-");
}

function idOf(object: ManifestObject): ObjectId {
  const { name, namespace } = object.metadata;
  return { kind: object.kind, namespace: isOfCluster(object.kind) ? undefined : (namespace ?? "default"), name };
}

/** The folder that a file was found in. */
function rootOf(roots: readonly string[], file: string): string {
  return roots.find((root) => file.startsWith(`${root}/`)) ?? dirname(file);
}

/** The one place in the folders where the object stands; of what nothing acts on, the first. @throws conflict */
function locate(roots: readonly string[], id: ObjectId): Place | undefined {
  const places: Place[] = [];
  for (const { path } of roots.flatMap((root) => scan(root).files)) {
    const text = readFileSync(path, "utf8");
    // Parsing a thousand files takes a while; looking for a word does not.
    if (text.includes(id.name)) places.push(...find(text, id).map((found) => ({ ...found, file: path })));
  }
  const [first, second] = places;
  if (second !== undefined && first !== undefined && !isInert(id.kind)) {
    throw new GantryError("conflict", `${labelOf(id)} is defined twice: in ${first.file} and in ${second.file}`, {
      hint: "Remove one of them.",
    });
  }
  return first;
}

function labelOf(id: ObjectId): string {
  return id.namespace === undefined ? `${id.kind} ${id.name}` : `${id.kind} ${id.namespace}/${id.name}`;
}

/** The draft of a file that is there. */
function draftOf(file: string, drafts: Map<string, Draft>): Draft {
  const known = drafts.get(file);
  if (known !== undefined) return known;
  const before = readFileSync(file, "utf8");
  const draft = { before, text: before, mode: 0 };
  drafts.set(file, draft);
  return draft;
}

function change(
  place: Place,
  object: ManifestObject,
  replacement: Replacement,
  drafts: Map<string, Draft>,
): Written["outcome"] {
  if (isDeepStrictEqual(check(place.value).object, object)) return "unchanged";
  const draft = draftOf(place.file, drafts);
  draft.text = replace(draft.text, place, replacement, place.file.endsWith(".json"));
  return "configured";
}

/** A new object: into a new file, or as one more document of a file that this very apply is about. */
function addTo(
  file: string,
  object: ManifestObject,
  replacement: Replacement,
  drafts: Map<string, Draft>,
  named: boolean,
): Written["outcome"] {
  const json = file.endsWith(".json");
  const mode = object.kind === "Secret" ? 0o600 : 0o644;
  const draft = drafts.get(file);
  if (draft === undefined) drafts.set(file, { before: undefined, text: fresh(replacement, json), mode });
  else if (json || !named) {
    throw new GantryError("conflict", `${file} can't hold several objects`, {
      hint: "Use a name that ends in .yaml, or a kind: List.",
    });
  } else {
    draft.text = append(draft.text, replacement);
    draft.mode = Math.min(draft.mode, mode);
  }
  return "created";
}

/** Editing text is only safe when it is checked: whatever else is in the file must read as it did. */
function assertOthersKept(file: string, draft: Draft, changed: readonly ObjectId[]): void {
  if (draft.before === undefined) return;
  if (draft.before !== draft.text && encryptionOf(Buffer.from(draft.before)) !== undefined) {
    throw new GantryError("conflict", `${file} is encrypted with SOPS: a change of the text would break its MAC`, {
      hint: `Change it with: sops edit ${file}`,
    });
  }
  const others = (text: string) =>
    objectsIn(text)
      .filter((found) => !changed.some((id) => find(JSON.stringify(found.value), id).length > 0))
      .map((found) => found.value);
  if (isDeepStrictEqual(others(draft.before), others(draft.text))) return;
  throw new GantryError("conflict", `${file} can't be changed without touching other objects in it`, {
    hint: "Edit it by hand.",
  });
}

function edit(roots: readonly string[], id: ObjectId, edits: readonly FieldEdit[]): string {
  const { file, ...found } = requirePlace(roots, id);
  assertWritable(rootOf(roots, file), file);
  const before = readFileSync(file, "utf8");
  const text = editFields(before, found, edits, file.endsWith(".json"));
  const [changed] = find(text, id);
  const { object, issues } = check(changed?.value);
  if (object === undefined) {
    const why = issues.find(({ severity }) => severity === "error");
    throw new GantryError(
      "invalid-manifest",
      `${labelOf(id)} would not be valid: ${why?.path.join(".")} ${why?.message}`,
      {
        hint: "Nothing was changed.",
      },
    );
  }
  assertOthersKept(file, { before, text, mode: 0 }, [id]);
  if (text !== before) replaceFile(file, before, text);
  return file;
}

function rewrite(
  roots: readonly string[],
  id: ObjectId,
  change: (written: unknown) => unknown,
  dryRun: boolean,
): Rewritten {
  const { file, ...found } = requirePlace(roots, id);
  assertWritable(rootOf(roots, file), file);
  const before = readFileSync(file, "utf8");
  const value = change(found.value);
  const object = validObject(value);
  if (dryRun || isDeepStrictEqual(value, found.value)) return { file, object };
  const text = editObject(before, found, value, file.endsWith(".json"));
  assertOthersKept(file, { before, text, mode: 0 }, [id]);
  replaceFile(file, before, text);
  return { file, object };
}

/** @throws not-found, conflict */
function requirePlace(roots: readonly string[], id: ObjectId): Place {
  const place = locate(roots, id);
  if (place !== undefined) return place;
  throw new GantryError("not-found", `no manifest in ${roots.join(", ")} defines ${labelOf(id)}`, {
    hint: "See what there is: gantry status",
  });
}

function take(roots: readonly string[], id: ObjectId): string {
  const place = requirePlace(roots, id);
  const { file } = place;
  assertWritable(rootOf(roots, file), file);
  const before = readFileSync(file, "utf8");
  const text = remove(before, place, file.endsWith(".json"));
  if (text === undefined) removeFile(file, before);
  else {
    assertOthersKept(file, { before, text, mode: 0 }, [id]);
    replaceFile(file, before, text);
  }
  return file;
}
