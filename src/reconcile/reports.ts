/** What is new about the sources, as events. Pure. */
import type { Problem } from "../manifest/index.ts";
import type { NewEvent } from "../store/contract.ts";

/** What is wrong with the sources at one time. */
export interface SourceReport {
  readonly problems: readonly Problem[];
  /** Why a source can't be trusted now, by its name. */
  readonly held: ReadonlyMap<string, string>;
}

/** The events that lead from one report to the next; nothing is told twice. `at`: ms since the epoch. */
export function reportEvents(before: SourceReport, after: SourceReport, at: number): NewEvent[] {
  const known = new Set(before.problems.map(textOf));
  const broken = after.problems
    .filter((problem) => problem.severity === "error" && !known.has(textOf(problem)))
    .map((problem) => eventOf(`Manifest/${problem.place.file}`, "Warning", "InvalidManifest", textOf(problem), at));
  const held = [...after.held]
    .filter(([name, reason]) => before.held.get(name) !== reason)
    .map(([name, reason]) => eventOf(`Source/${name}`, "Warning", "SourceHeld", reason, at));
  const back = [...before.held.keys()]
    .filter((name) => !after.held.has(name))
    .map((name) => eventOf(`Source/${name}`, "Normal", "SourceBack", "it can be trusted again", at));
  return [...broken, ...held, ...back];
}

/** One sentence a source, for people. */
export function heldSentences({ held }: SourceReport): string[] {
  return [...held].map(([name, reason]) => `${name}: ${reason}`);
}

/**
 * Why something that no manifest has may be meant all the same; undefined when what is missing is meant to be missing.
 * @param empty names of sources in which there is no manifest at all
 */
export function doubtOf(
  held: ReadonlyMap<string, string>,
  problems: readonly Problem[],
  empty: readonly string[],
): string | undefined {
  const [source] = held;
  if (source !== undefined) return `${source[0]} ${source[1]}`;
  const broken = problems.find(({ severity }) => severity === "error");
  if (broken !== undefined) return `${broken.place.file} has errors, and may be what claims it`;
  return empty[0] === undefined ? undefined : `${empty[0]} has no manifest at all, which may be an accident`;
}

function eventOf(object: string, type: NewEvent["type"], reason: string, message: string, at: number): NewEvent {
  return { object, podUid: undefined, type, reason, message, at };
}

function textOf({ place, field, message, hint }: Problem): string {
  return `${place.file}:${place.line}:${place.column}: ${field === "" ? "" : `${field}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
}
