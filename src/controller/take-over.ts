/** What a manifest says becomes what is kept. */
import { hashOf } from "../hash.ts";
import { type LoadedObject, type Problem, placeOfField, type Service, type Workload } from "../manifest/index.ts";
import type { Memory } from "./contract.ts";
import { type Entries, idOf, isWorkload, sameSpec } from "./entries.ts";

export interface Maker {
  /** ms since the epoch */
  readonly now: number;
  readonly newUid: () => string;
}

/** Takes over a manifest. @returns what is wrong with it: what may not change stays as it was */
export function takeOver(
  entries: Entries,
  loaded: LoadedObject,
  object: Workload | Service,
  { now, newUid }: Maker,
): Problem | undefined {
  const key = idOf(object);
  const before = entries.get(key);
  if (object.kind === "Service") {
    // What it was given, address and ports, it keeps: see service/addresses.ts.
    const { uid, createdAt, memory } = before ?? { uid: newUid(), createdAt: now, memory: {} };
    entries.save(key, { object, uid, createdAt, generation: 1, status: { loadBalancer: {} }, memory }, loaded);
    return undefined;
  }
  const memory = memoryOf(loaded, before?.memory ?? {});
  if (before === undefined || !isWorkload(before.object) || startsAnew(before.object, object)) {
    entries.forget(key);
    entries.save(key, { object, uid: newUid(), createdAt: now, generation: 1, status: undefined, memory }, loaded);
    return undefined;
  }
  if (selectorOf(before.object) !== selectorOf(object)) {
    entries.save(key, before, loaded);
    return {
      severity: "error",
      place: placeOfField(loaded, "spec.selector"),
      field: "spec.selector",
      message: "can't be changed: the pods that are there would be nobody's; what was written before goes on",
      hint: "put the selector back, or give the object another name",
      object: key,
    };
  }
  const generation = before.generation + (sameSpec(before.object, object) ? 0 : 1);
  entries.save(key, { ...before, object, generation, memory }, loaded);
  return undefined;
}

/** The work of a Job can't be changed while it is done: another template is another Job. */
function startsAnew(before: Workload, after: Workload): boolean {
  if (before.kind !== "Job" || after.kind !== "Job") return false;
  const work = ({ spec }: typeof before): string => hashOf([spec.template, spec.completionMode]);
  return work(before) !== work(after);
}

function selectorOf(object: Workload): string {
  return "selector" in object.spec ? hashOf(object.spec.selector) : "";
}

/** The template as it was written goes with the version, so that an undo can put it back. */
function memoryOf({ written }: LoadedObject, memory: Memory): Memory {
  const template = field(field(written, "spec"), "template");
  return template === undefined ? memory : { ...memory, writtenTemplate: template };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
