/** What a source puts into force: a revision's objects and what is kept beside them. Pure. */
import { identityOf, type LoadedObject, type Problem, staysUnpruned, waveIn } from "../../manifest/index.ts";
import { distinct } from "../duplicates.ts";
import type { Kept } from "./facts.ts";

/** One file of a revision, parsed. */
export interface ParsedFile {
  readonly path: string;
  /** Of its content. */
  readonly oid: string;
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
  /** It is encrypted, and could not be opened. */
  readonly closed: boolean;
}

export interface Content {
  readonly objects: readonly LoadedObject[];
  readonly problems: readonly Problem[];
  /** Which file each object is from, by identity. */
  readonly origins: ReadonlyMap<string, { readonly path: string; readonly oid: string }>;
  /** Files that could not be decrypted: what they ask for is not known. */
  readonly closed: readonly string[];
}

export const NO_CONTENT: Content = { objects: [], problems: [], origins: new Map(), closed: [] };

/** The files of a revision together; an object that is defined twice is there once, and an error. */
export function contentOf(files: readonly ParsedFile[], complaints: readonly Problem[]): Content {
  const { objects, problems } = distinct(
    files.flatMap((file) => file.objects),
    () => undefined,
  );
  const fileOf = new Map(files.flatMap((file) => file.objects.map((loaded) => [loaded, file] as const)));
  const origins = new Map(
    objects.flatMap((loaded) => {
      const file = fileOf.get(loaded);
      return file === undefined ? [] : [[identityOf(loaded.object), { path: file.path, oid: file.oid }] as const];
    }),
  );
  return {
    objects,
    problems: [...complaints, ...files.flatMap((file) => file.problems), ...problems],
    origins,
    closed: files.filter(({ closed }) => closed).map(({ path }) => path),
  };
}

/** What of the content in force stays beside a new revision. */
export function keptBeside(
  next: Content,
  before: Content,
  options: { readonly prune: boolean; readonly brokenFiles: ReadonlySet<string> },
): Kept[] {
  const there = new Set(next.objects.map((loaded) => identityOf(loaded.object)));
  return before.objects.flatMap((loaded): Kept[] => {
    const identity = identityOf(loaded.object);
    const origin = before.origins.get(identity);
    if (there.has(identity) || origin === undefined) return [];
    if (options.brokenFiles.has(origin.path)) return [{ identity, ...origin, why: "broken" }];
    const stays = !options.prune || staysUnpruned(loaded.object.metadata.annotations);
    return stays ? [{ identity, ...origin, why: "unpruned" }] : [];
  });
}

/** A revision's content with what is kept; `files` are the parsed files that `kept` names. */
export function withKept(content: Content, kept: readonly Kept[], files: readonly ParsedFile[]): Content {
  if (kept.length === 0) return content;
  const there = new Set(content.objects.map((loaded) => identityOf(loaded.object)));
  const objects = [...content.objects];
  const origins = new Map(content.origins);
  for (const { identity, path, oid, why } of kept) {
    const file = files.find((one) => one.path === path && one.oid === oid);
    const loaded = file?.objects.find(({ object }) => identityOf(object) === identity);
    if (loaded === undefined || there.has(identity)) continue;
    there.add(identity);
    objects.push(why === "broken" ? { ...loaded, stale: true } : loaded);
    origins.set(identity, { path, oid });
  }
  return { ...content, objects, origins };
}

/** The waves that a content has, in order. */
export function wavesOf({ objects }: Content): number[] {
  return [...new Set(objects.map(waveOf))].sort((a, b) => a - b);
}

export function waveOf(loaded: LoadedObject): number {
  return waveIn(loaded.object.metadata.annotations);
}

/**
 * What is in force while `wave` is: what is new up to there, of the rest what was before. Nothing is taken away before
 * the last wave is done.
 */
export function atWaveContent(before: Content, next: Content, wave: number): Content {
  const old = new Map(before.objects.map((loaded) => [identityOf(loaded.object), loaded]));
  const origins = new Map(next.origins);
  const objects = next.objects.flatMap((loaded) => {
    const identity = identityOf(loaded.object);
    const was = old.get(identity);
    old.delete(identity);
    if (waveOf(loaded) <= wave) return [loaded];
    const origin = before.origins.get(identity);
    if (was === undefined || origin === undefined) {
      origins.delete(identity);
      return [];
    }
    origins.set(identity, origin);
    return [was];
  });
  for (const [identity, loaded] of old) {
    objects.push(loaded);
    const origin = before.origins.get(identity);
    if (origin !== undefined) origins.set(identity, origin);
  }
  return { ...next, objects, origins };
}
