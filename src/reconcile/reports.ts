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

function eventOf(object: string, type: NewEvent["type"], reason: string, message: string, at: number): NewEvent {
  return { object, podUid: undefined, type, reason, message, at };
}

function textOf({ place, field, message, hint }: Problem): string {
  return `${place.file}:${place.line}:${place.column}: ${field === "" ? "" : `${field}: `}${message}${hint === undefined ? "" : ` (${hint})`}`;
}
