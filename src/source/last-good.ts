/** The last good version of every manifest file, which goes on being meant while the file is broken. */
import { type LoadedObject, parseManifestText } from "../manifest/index.ts";
import type { StateStore } from "../store/contract.ts";

type Store = StateStore["lastGood"];

export interface LastGood {
  /** Files of which there is a good version. */
  readonly files: ReadonlySet<string>;
  /** The objects of one file, marked as stale. */
  objects(file: string): readonly LoadedObject[];
  /** Remembers `text`, unless it is what is remembered already. */
  put(file: string, text: string): void;
  remove(file: string): void;
  /** Lets go of the texts that were read at the start, which spare writing each of them again. */
  forgetTexts(): void;
}

export function createLastGood(store: Store, source: string): LastGood {
  let texts: Map<string, string> | undefined = new Map(store.list(source).map((row) => [row.file, row.text]));
  const files = new Set(texts.keys());
  // Later, the texts are asked for when they are needed, which is rare.
  const textOf = (file: string) =>
    texts === undefined ? store.list(source).find((row) => row.file === file)?.text : texts.get(file);
  return {
    files,
    objects: (file) => (files.has(file) ? staleObjects(file, textOf(file)) : []),
    put(file, text) {
      if (texts?.get(file) === text) return;
      store.put(source, file, text);
      texts?.set(file, text);
      files.add(file);
    },
    remove(file) {
      if (!files.has(file)) return;
      store.remove(source, file);
      texts?.delete(file);
      files.delete(file);
    },
    forgetTexts() {
      texts = undefined;
    },
  };
}

function staleObjects(file: string, text: string | undefined): LoadedObject[] {
  if (text === undefined) return [];
  return parseManifestText(file, text).objects.map(stale);
}

/** The same object, as the last good version of itself. */
export function stale(loaded: LoadedObject): LoadedObject {
  return loaded.stale ? loaded : { ...loaded, stale: true };
}

/** Objects as a manifest text that parses to the same objects: what is in force of a file that is broken in part. */
export function textOfObjects(objects: readonly LoadedObject[]): string {
  return JSON.stringify({ apiVersion: "v1", kind: "List", items: objects.map((loaded) => loaded.object) });
}

/** Keeps nothing beyond the process: for tests, and for reading a folder without a daemon. */
export function memoryLastGood(): Store {
  const texts = new Map<string, Map<string, string>>();
  const of = (source: string) => {
    const found = texts.get(source) ?? new Map<string, string>();
    texts.set(source, found);
    return found;
  };
  return {
    list: (source) => [...of(source)].map(([file, text]) => ({ file, text })),
    put: (source, file, text) => void of(source).set(file, text),
    remove: (source, file) => void of(source).delete(file),
  };
}
