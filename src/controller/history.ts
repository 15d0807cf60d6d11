import { hashOf } from "../hash.ts";
import type { ReplicaSet } from "../manifest/index.ts";
import type { ControllerRevision, Live } from "./contract.ts";
import { plain, revisionOf } from "./deployment.ts";
import { type Entries, type Entry, isLive } from "./entries.ts";

/** A kept version of an object's template. */
export interface Version {
  readonly revision: number;
  /** As it was written; undefined when that is not known. */
  readonly written: unknown;
  readonly current: boolean;
  readonly live: Live<ReplicaSet | ControllerRevision>;
}

/** What an object can go back to, oldest first. */
export function historyOf(entries: Entries, kind: string, key: string): readonly Version[] {
  const me = entries.get(`${kind} ${key}`);
  if (me === undefined) return [];
  const { object } = me;
  const template = "spec" in object && isRecord(object.spec) ? hashOf(object.spec["template"]) : undefined;
  return entries
    .childrenOf(me.uid)
    .flatMap((entry) => versionIn(entry, template) ?? [])
    .sort((a, b) => a.revision - b.revision);
}

function versionIn(entry: Entry, current: string | undefined): Version | undefined {
  const written = entry.memory["writtenTemplate"];
  const version = (live: Version["live"], revision: number, template: unknown): Version => ({
    ...{ revision, written, live },
    current: hashOf(template) === current,
  });
  if (isLive(entry, "ReplicaSet"))
    return version(entry, revisionOf({ live: entry }), plain(entry.object.spec.template));
  if (isLive(entry, "ControllerRevision")) return version(entry, entry.object.revision, entry.object.data.template);
  return undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null;
}
