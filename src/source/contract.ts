import type { LoadedObject, Problem } from "../manifest/index.ts";

/** Anything that yields manifests: a folder today, a Git repository later. */
export interface Source {
  readonly name: string;
  /** Reads everything once, then watches. `onChange` says look again; it may come late or double. */
  start(onChange: () => void): Promise<void>;
  /** What it holds now. Cheap when nothing changed: unchanged files are not read again. */
  read(): Promise<SourceState>;
  stop(): Promise<void>;
}

export interface SourceState {
  readonly objects: readonly LoadedObject[];
  /** Errors and warnings, each with its place. A file with an error contributes its last good objects, if it has any. */
  readonly problems: readonly Problem[];
  /** Set while the source as a whole can't be trusted (missing, unreadable, replaced): everything stays as it is. */
  readonly held: string | undefined;
}
