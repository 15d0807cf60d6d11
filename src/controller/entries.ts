import { hashOf } from "../hash.ts";
import type { LoadedObject, Pod, Service, Workload } from "../manifest/index.ts";
import type { StateStore } from "../store/contract.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Claim, ControllerRevision, Live } from "./contract.ts";
import { controllerOf } from "./names.ts";
import { parseStored, storedText } from "./stored.ts";

export type Kept = Workload | Service | ControllerRevision | Pod | Claim;

export interface Entry extends Live<Kept> {
  /** Of one that a manifest has. */
  readonly loaded: LoadedObject | undefined;
  readonly stored: string;
}

/** What controllers keep, by "<kind> <namespace>/<name>", in memory and in the state store. */
export class Entries {
  readonly #store: StateStore["objects"];
  readonly #all = new Map<string, Entry>();
  /** By the uid of their owner; made again when it is asked for after a change. */
  #children: ReadonlyMap<string, Entry[]> | undefined;
  #writes = 0;
  #podWrites = 0;

  /** Reads what an earlier daemon kept. */
  constructor(store: StateStore["objects"], log: Logger) {
    this.#store = store;
    for (const { key, text } of store.list()) {
      try {
        this.#all.set(key, { ...parseStored(text), loaded: undefined, stored: text });
      } catch (error) {
        const reason = messageOf(error);
        log.warn({ object: key, reason }, "an object that a controller kept can't be read; it is left out");
        store.remove(key);
      }
    }
  }

  /** Counts what became different. */
  get writes(): number {
    return this.#writes;
  }

  /** Counts pods that came and went. */
  get podWrites(): number {
    return this.#podWrites;
  }

  get size(): number {
    return this.#all.size;
  }

  get(key: string): Entry | undefined {
    return this.#all.get(key);
  }

  has(key: string): boolean {
    return this.#all.has(key);
  }

  /** As they are now: what happens to them meanwhile does not matter. */
  list(): readonly (readonly [string, Entry])[] {
    return [...this.#all];
  }

  childrenOf(uid: string): readonly Entry[] {
    this.#children ??= Map.groupBy(this.#all.values(), ({ object }) => controllerOf(object)?.uid ?? "");
    return this.#children.get(uid) ?? [];
  }

  save(key: string, live: Live<Kept>, loaded: LoadedObject | undefined): void {
    const text = storedText(live);
    const before = this.#all.get(key);
    this.#all.set(key, { ...live, loaded, stored: text });
    this.#children = undefined;
    if (before?.stored === text) return;
    this.#store.put(key, text);
    this.#writes++;
    if (before === undefined && live.object.kind === "Pod") this.#podWrites++;
  }

  forget(key: string): void {
    const entry = this.#all.get(key);
    if (entry === undefined) return;
    this.#store.remove(key);
    this.#all.delete(key);
    this.#children = undefined;
    this.#writes++;
    if (entry.object.kind === "Pod") this.#podWrites++;
  }

  /** Forgets children whose owner is gone, and theirs. Claims without an owner stay. */
  collect(): void {
    for (let before = -1; before !== this.size; ) {
      before = this.size;
      const uids = new Set(this.list().map(([, { uid }]) => uid));
      for (const [key, { object }] of this.list()) {
        const owner = controllerOf(object);
        if (owner !== undefined && !uids.has(owner.uid)) this.forget(key);
      }
    }
  }
}

const WORKLOADS: ReadonlySet<string> = new Set<Workload["kind"]>([
  "Deployment",
  "ReplicaSet",
  "DaemonSet",
  "StatefulSet",
  "Job",
  "CronJob",
]);

export function isWorkload(object: { readonly kind: string }): object is Workload {
  return WORKLOADS.has(object.kind);
}

export function isLive<K extends Kept["kind"]>(entry: Live<Kept>, kind: K): entry is Live<Extract<Kept, { kind: K }>> {
  return entry.object.kind === kind;
}

interface Named {
  readonly metadata: { readonly name: string; readonly namespace?: string };
}

/** "Deployment default/web" */
export function idOf(object: Named & { readonly kind: string }): string {
  return `${object.kind} ${keyOf(object)}`;
}

/** "default/web" */
export function keyOf({ metadata }: Named): string {
  return `${metadata.namespace ?? "default"}/${metadata.name}`;
}

/** They ask for the same. */
export function sameSpec(a: Kept, b: Kept): boolean {
  const specOf = (object: Kept): unknown => ("spec" in object ? object.spec : object);
  return hashOf(specOf(a)) === hashOf(specOf(b));
}
