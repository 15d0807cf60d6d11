/**
 * The controllers at work: keeps their objects, shows each controller what there is, and does what it says. Objects
 * that a manifest has are given from outside; those that controllers make are kept in the state store, so that they
 * have the same names after a restart of the daemon.
 */
import { hashOf } from "../hash.ts";
import type { LoadedObject, Pod, Problem, ReplicaSet, Service, Workload } from "../manifest/index.ts";
import { describedPod, placeOfField } from "../manifest/index.ts";
import type { PodState } from "../pod/contract.ts";
import type { NewEvent, StateStore } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Child, Claim, ControllerRevision, Live, Memory, Outcome, PodView, Scene } from "./contract.ts";
import { reconcileCronJob } from "./cronjob.ts";
import { reconcileDaemonSet } from "./daemonset.ts";
import { plain, reconcileDeployment, revisionOf } from "./deployment.ts";
import { reconcileJob } from "./job.ts";
import { controllerOf, suffixOf } from "./names.ts";
import { earliest } from "./pods.ts";
import { reconcileReplicaSet } from "./replicaset.ts";
import { reconcileStatefulSet } from "./statefulset.ts";
import { parseStored, storedText } from "./stored.ts";
import { podView } from "./view.ts";

export type Kept = Workload | Service | ControllerRevision | Pod | Claim;

export interface ControllersOptions {
  readonly store: StateStore["objects"];
  readonly pods: () => readonly PodState[];
  readonly event: (event: NewEvent) => void;
  /** What pods there are to be, or a status, is otherwise now. */
  readonly onChange: (podsChanged: boolean) => void;
  readonly clock: Clock;
  readonly log: Logger;
  readonly newUid: () => string;
  readonly random?: () => number;
}

export interface Controllers {
  /** What the manifests ask for now; the controllers act on it at once. */
  /** @param broken identities of which the manifest can't be read: what is kept of them stays */
  written(objects: readonly LoadedObject[], broken?: ReadonlySet<string>): void;
  /** A pod changed: look again, soon. Cheap for pods that no controller has made. */
  podChanged(state: PodState | undefined, uid: string): void;
  /** Looks at everything now. */
  look(): void;
  /** The pods that controllers want. */
  pods(): readonly LoadedObject[];
  /** The claims that StatefulSets made. */
  claims(): readonly Claim[];
  problems(): readonly Problem[];
  /** Everything that is kept, pods apart. */
  objects(): readonly Live<Kept>[];
  /** Where an object of a manifest is written: "web.yaml:1". */
  originOf(live: Live<Kept>): string | undefined;
  /** What can be gone back to, oldest first. */
  history(kind: string, key: string): readonly Version[];
  /** Takes away what a controller made; it may make another. @returns false when there is no such thing */
  drop(kind: Child["kind"], key: string): boolean;
  /** The kind of something that a controller made; undefined for what a manifest has, or nobody. */
  madeKind(kind: string, key: string): Child["kind"] | undefined;
  /** Whether a controller made the pod that is to be there by this name. */
  owns(key: string): boolean;
  /** Whether the owner of a pod is there, and so decides about it. */
  keeps(pod: Pod): boolean;
  close(): void;
}

/** A kept version of an object's template. */
export interface Version {
  readonly revision: number;
  /** As it was written; undefined when that is not known. */
  readonly written: unknown;
  readonly current: boolean;
  readonly live: Live<ReplicaSet | ControllerRevision>;
}

interface Entry extends Live<Kept> {
  /** Of one that a manifest has. */
  readonly loaded: LoadedObject | undefined;
  readonly stored: string;
}

/** What follows from one look may ask for the next; more than this in a row is a fault of ours. */
const MOST_ROUNDS = 50;
/** What happens within this time is one look. ms */
const SOON_MS = 10;
/** The longest that node's timers can wait, with room. ms */
const LONGEST_TIMER_MS = 2 ** 30;

const WORKLOADS: ReadonlySet<string> = new Set([
  "Deployment",
  "ReplicaSet",
  "DaemonSet",
  "StatefulSet",
  "Job",
  "CronJob",
]);

export function createControllers(options: ControllersOptions): Controllers {
  const { store, clock, log, newUid, event } = options;
  const random = options.random ?? Math.random;
  const entries = new Map<string, Entry>();
  let problems: Problem[] = [];
  let timer: TimerHandle | undefined;
  let soon: TimerHandle | undefined;
  let known = false;
  let closed = false;
  /** Told to the outside only when a look is over. */
  let podsChanged = false;
  let changed = false;
  const loadedPods = new Map<string, LoadedObject>();
  const waits = new Map<string, number>();

  for (const { key, text } of store.list()) {
    try {
      entries.set(key, { ...parseStored(text), loaded: undefined, stored: text });
    } catch (error) {
      log.warn(
        { object: key, reason: messageOf(error) },
        "an object that a controller kept can't be read; it is left out",
      );
      store.remove(key);
    }
  }

  const save = (key: string, live: Live<Kept>, loaded: LoadedObject | undefined): void => {
    const text = storedText(live);
    const before = entries.get(key);
    if (before?.stored !== text) store.put(key, text);
    entries.set(key, { ...live, loaded, stored: text });
    children = undefined;
    if (before?.stored !== text) changed = true;
  };
  const forget = (key: string): void => {
    const entry = entries.get(key);
    if (entry === undefined) return;
    store.remove(key);
    entries.delete(key);
    children = undefined;
    waits.delete(key);
    changed = true;
    if (entry.object.kind === "Pod") {
      podsChanged = true;
      loadedPods.delete(key);
    }
  };
  /** By the uid of their owner; made again when it is asked for after a change. */
  let children: ReadonlyMap<string, Entry[]> | undefined;
  const childrenOf = (uid: string): readonly Entry[] => {
    children ??= Map.groupBy([...entries.values()], ({ object }) => controllerOf(object)?.uid ?? "");
    return children.get(uid) ?? [];
  };

  /** Takes over a manifest; what may not change stays as it was. */
  const takeOver = (loaded: LoadedObject, object: Workload | Service): void => {
    const key = idOf(object);
    const before = entries.get(key);
    if (object.kind === "Service") {
      const { uid, createdAt } = before ?? { uid: newUid(), createdAt: clock.now() };
      save(key, { object, uid, createdAt, generation: 1, status: { loadBalancer: {} }, memory: {} }, loaded);
      return;
    }
    const memory = memoryOf(loaded, before?.memory ?? {});
    if (before === undefined || !isWorkload(before.object) || startsAnew(before.object, object)) {
      if (before !== undefined) forget(key);
      save(key, { object, uid: newUid(), createdAt: clock.now(), generation: 1, status: undefined, memory }, loaded);
      return;
    }
    if (selectorOf(before.object) !== selectorOf(object)) {
      problems.push({
        severity: "error",
        place: placeOfField(loaded, "spec.selector"),
        field: "spec.selector",
        message: "can't be changed: the pods that are there would be nobody's; what was written before goes on",
        hint: "put the selector back, or give the object another name",
        object: key,
      });
      entries.set(key, { ...before, loaded });
      children = undefined;
      return;
    }
    const same = hashOf(before.object.spec) === hashOf(object.spec);
    save(key, { ...before, object, generation: before.generation + (same ? 0 : 1), memory }, loaded);
  };

  /** Children whose owner is gone, and theirs. Claims without an owner stay. */
  const collect = (): void => {
    for (let again = true; again; ) {
      again = false;
      const uids = new Set([...entries.values()].map(({ uid }) => uid));
      for (const [key, { object }] of [...entries]) {
        const owner = controllerOf(object);
        if (owner === undefined || uids.has(owner.uid)) continue;
        forget(key);
        again = true;
      }
    }
  };

  const sceneOf = (uid: string, views: (key: string) => PodView | undefined): Scene => {
    const children = childrenOf(uid);
    const podsOf = (of: readonly Entry[], owner: string): PodView[] => [
      ...of.flatMap(({ object }) => (object.kind === "Pod" ? (views(podKey(object)) ?? []) : [])),
      ...(leaving.get(owner) ?? []),
    ];
    return {
      now: clock.now(),
      suffix: () => suffixOf(random),
      pods: podsOf(children, uid),
      replicaSets: children.flatMap((entry) =>
        isLive(entry, "ReplicaSet") ? [{ live: entry, pods: podsOf(childrenOf(entry.uid), entry.uid) }] : [],
      ),
      jobs: children.filter((entry) => isLive(entry, "Job")),
      revisions: children.filter((entry) => isLive(entry, "ControllerRevision")),
      claims: new Set(
        [...entries.values()].flatMap(({ object }) =>
          object.kind === "PersistentVolumeClaim" ? [podKey(object)] : [],
        ),
      ),
    };
  };
  /** Pods that are on their way out, by the uid of their owner: no entry is left of them. */
  let leaving = new Map<string, PodView[]>();

  const act = (me: Entry, outcome: Outcome): void => {
    const key = idOf(me.object);
    for (const deed of outcome.deeds) {
      switch (deed.type) {
        case "put":
          put(deed.child, deed.memory, me.loaded);
          break;
        case "drop":
          forget(`${deed.kind} ${deed.key}`);
          break;
        case "tell": {
          const { namespace = "default", name } = me.object.metadata;
          const object = `${me.object.kind}/${namespace}/${name}`;
          event({
            object,
            podUid: undefined,
            type: deed.level,
            reason: deed.reason,
            message: deed.message,
            at: clock.now(),
          });
        }
      }
    }
    if (!entries.has(key)) return;
    save(key, { ...me, status: outcome.status, memory: outcome.memory ?? me.memory }, me.loaded);
    if (outcome.lookAt === undefined) waits.delete(key);
    else waits.set(key, outcome.lookAt);
    // A finished Job that a CronJob made goes when its time to live is over; one of a manifest stays, without pods.
    if (me.object.kind === "Job" && outcome.memory?.["expired"] === true && controllerOf(me.object) !== undefined)
      forget(key);
  };

  const put = (child: Child, memory: Memory | undefined, loaded: LoadedObject | undefined): void => {
    const key = idOf(child);
    const before = entries.get(key);
    if (before !== undefined && controllerOf(before.object)?.uid !== controllerOf(child)?.uid) {
      const owner = before.loaded?.place.file ?? "another controller";
      log.warn({ object: key, owner }, "a controller can't make an object whose name is taken");
      return;
    }
    const same = before !== undefined && hashOf(specOf(before.object)) === hashOf(specOf(child));
    const generation = before === undefined ? 1 : before.generation + (same ? 0 : 1);
    const fresh = { uid: newUid(), createdAt: clock.now(), status: undefined, memory: {} };
    const { uid, createdAt, status, memory: old } = before ?? fresh;
    save(key, { object: child, uid, createdAt, generation, status, memory: memory ?? old }, loaded);
    if (child.kind === "Pod" && before === undefined) podsChanged = true;
  };

  const look = (): void => {
    if (closed || !known) return;
    clock.clearTimeout(soon);
    soon = undefined;
    const states = options.pods();
    const byKey = Map.groupBy(states, ({ desired }) => desired.key);
    const now = clock.now();
    for (let round = 0; ; round++) {
      collect();
      leaving = leavingPods(states, entries, now);
      const views = (key: string): PodView | undefined => {
        const entry = entries.get(`Pod ${key}`);
        if (entry?.object.kind !== "Pod") return undefined;
        return podView(
          entry.object,
          entry.createdAt,
          byKey.get(key)?.find(({ deletionDeadline }) => deletionDeadline === undefined),
          now,
        );
      };
      let acted = false;
      for (const [key, me] of [...entries]) {
        if (!isWorkload(me.object) || entries.get(key) !== me) continue;
        const size = changedCount();
        reconcile(me, sceneOf(me.uid, views));
        acted ||= changedCount() !== size;
      }
      if (!acted || round >= MOST_ROUNDS) break;
    }
    collect();
    settle();
  };

  let writes = 0;
  const changedCount = (): number => {
    if (changed) writes++;
    dirty ||= changed;
    changed = false;
    return writes;
  };
  let dirty = false;

  const reconcile = (me: Entry, scene: Scene): void => {
    try {
      act(me, run(me, scene));
    } catch (error) {
      log.error({ object: idOf(me.object), err: error }, "a controller failed; it is tried again");
      waits.set(idOf(me.object), clock.now() + 10_000);
    }
  };

  const settle = (): void => {
    changedCount();
    const at = earliest([...waits.values()]);
    clock.clearTimeout(timer);
    timer =
      at === undefined ? undefined : clock.setTimeout(look, Math.min(LONGEST_TIMER_MS, Math.max(10, at - clock.now())));
    if (!dirty) return;
    dirty = false;
    const told = podsChanged;
    podsChanged = false;
    options.onChange(told);
  };

  return {
    written(objects, broken = new Set()) {
      known = true;
      problems = [];
      const there = new Set<string>();
      for (const loaded of objects) {
        const { object } = loaded;
        if (!isWorkload(object) && object.kind !== "Service") continue;
        there.add(idOf(object));
        takeOver(loaded, object);
      }
      for (const [key, { object }] of [...entries]) {
        const isWritten = isWorkload(object) || object.kind === "Service";
        if (isWritten && controllerOf(object) === undefined && !there.has(key) && !broken.has(key)) forget(key);
      }
      look();
    },
    podChanged(state, uid) {
      const owned = state === undefined ? entries.size > 0 : controllerOf(state.desired.pod) !== undefined;
      if (!owned || soon !== undefined || closed || uid === "") return;
      soon = clock.setTimeout(look, SOON_MS);
    },
    look,
    pods() {
      const found: LoadedObject[] = [];
      for (const [key, { object }] of entries) {
        if (object.kind !== "Pod") continue;
        const root = rootOf(object, entries);
        const place = root?.loaded?.place ?? { file: "", line: 1, column: 1 };
        const before = loadedPods.get(key);
        const warnings = root?.loaded?.warnings ?? [];
        const one: LoadedObject =
          before?.object === object && before.place.file === place.file && before.place.line === place.line
            ? before
            : { object, place, places: placesIn(root?.loaded), warnings, stale: root?.loaded?.stale ?? false };
        loadedPods.set(key, one);
        found.push(one);
      }
      return found;
    },
    claims: () =>
      [...entries.values()].flatMap(({ object }) => (object.kind === "PersistentVolumeClaim" ? [object] : [])),
    problems: () => problems,
    objects: () => [...entries.values()].filter(({ object }) => object.kind !== "Pod"),
    originOf({ object }) {
      const loaded = entries.get(idOf(object))?.loaded;
      return loaded === undefined ? undefined : `${loaded.place.file}:${loaded.place.line}`;
    },
    history(kind, key) {
      const me = entries.get(`${kind} ${key}`);
      if (me === undefined) return [];
      const spec: unknown = field(me.object, "spec");
      const template = hashOf(field(spec, "template"));
      return childrenOf(me.uid)
        .flatMap((entry): Version[] => {
          const written = entry.memory["writtenTemplate"];
          if (isLive(entry, "ReplicaSet"))
            return [
              {
                revision: revisionOf({ live: entry }),
                written,
                current: hashOf(plain(entry.object.spec.template)) === template,
                live: entry,
              },
            ];
          if (isLive(entry, "ControllerRevision"))
            return [
              {
                revision: entry.object.revision,
                written,
                current: hashOf(entry.object.data.template) === template,
                live: entry,
              },
            ];
          return [];
        })
        .sort((a, b) => a.revision - b.revision);
    },
    drop(kind, key) {
      if (!entries.has(`${kind} ${key}`)) return false;
      forget(`${kind} ${key}`);
      look();
      return true;
    },
    madeKind(kind, key) {
      const found = entries.get(`${kind} ${key}`)?.object;
      if (found === undefined || controllerOf(found) === undefined) return undefined;
      const { kind: known } = found;
      return known === "ReplicaSet" || known === "Job" || known === "ControllerRevision" ? known : undefined;
    },
    keeps(pod) {
      const owner = controllerOf(pod);
      return owner !== undefined && [...entries.values()].some(({ uid }) => uid === owner.uid);
    },
    owns: (key) => entries.has(`Pod ${key}`),
    close() {
      closed = true;
      clock.clearTimeout(timer);
      clock.clearTimeout(soon);
    },
  };
}

function run(me: Live<Kept>, scene: Scene): Outcome {
  const { object } = me;
  switch (object.kind) {
    case "Deployment":
      return reconcileDeployment({ ...me, object }, scene);
    case "ReplicaSet":
      return reconcileReplicaSet({ ...me, object }, scene);
    case "DaemonSet":
      return reconcileDaemonSet({ ...me, object }, scene);
    case "StatefulSet":
      return reconcileStatefulSet({ ...me, object }, scene);
    case "Job":
      return reconcileJob({ ...me, object }, scene);
    case "CronJob":
      return reconcileCronJob({ ...me, object }, scene);
    case "ControllerRevision":
    case "Service":
    case "Pod":
    case "PersistentVolumeClaim":
      return { deeds: [], status: me.status ?? {} };
  }
}

/** Pods that run, are asked for by no entry any more, and were made by a controller. */
function leavingPods(
  states: readonly PodState[],
  entries: ReadonlyMap<string, Entry>,
  now: number,
): Map<string, PodView[]> {
  const found = new Map<string, PodView[]>();
  for (const state of states) {
    const { pod, key } = state.desired;
    const owner = controllerOf(pod);
    if (owner === undefined) continue;
    if (entries.has(`Pod ${key}`) && state.deletionDeadline === undefined) continue;
    const view = { ...podView(pod, state.createdAt, state, now), deleting: true };
    // The same name is asked for again already: the entry speaks for it, and waits by itself.
    if (entries.has(`Pod ${key}`)) continue;
    const others = found.get(owner.uid);
    if (others === undefined) found.set(owner.uid, [view]);
    else others.push(view);
  }
  return found;
}

/** Where the fields of a pod stand in the template that it is made from. */
function placesIn(loaded: LoadedObject | undefined): LoadedObject["places"] {
  const path = loaded === undefined ? undefined : describedPod(loaded.object)?.path;
  if (loaded === undefined || path === undefined) return new Map();
  const prefix = path.map((part) => `${part}.`).join("");
  return new Map(
    [...loaded.places].flatMap(([name, place]) =>
      name.startsWith(prefix) ? [[name.slice(prefix.length), place] as const] : [],
    ),
  );
}

function rootOf(pod: Pod, entries: ReadonlyMap<string, Entry>): Entry | undefined {
  let at: Entry | undefined;
  let owner = controllerOf(pod);
  const { namespace } = pod.metadata;
  while (owner !== undefined) {
    const next = entries.get(`${owner.kind} ${namespace}/${owner.name}`);
    if (next === undefined) return at;
    at = next;
    owner = controllerOf(next.object);
  }
  return at;
}

/** "Deployment default/web" */
export function idOf({
  kind,
  metadata,
}: {
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
}): string {
  return `${kind} ${metadata.namespace ?? "default"}/${metadata.name}`;
}

function podKey({ metadata }: { readonly metadata: { readonly namespace: string; readonly name: string } }): string {
  return `${metadata.namespace}/${metadata.name}`;
}

function isWorkload(object: { readonly kind: string }): object is Workload {
  return WORKLOADS.has(object.kind);
}

function isLive<K extends Kept["kind"]>(entry: Live<Kept>, kind: K): entry is Live<Extract<Kept, { kind: K }>> {
  return entry.object.kind === kind;
}

/** The work of a Job can't be changed while it is done: another template is another Job. */
function startsAnew(before: Workload, after: Workload): boolean {
  if (before.kind !== "Job" || after.kind !== "Job") return false;
  return (
    hashOf([before.spec.template, before.spec.completionMode]) !==
    hashOf([after.spec.template, after.spec.completionMode])
  );
}

function selectorOf(object: Workload): string {
  return "selector" in object.spec ? hashOf(object.spec.selector) : "";
}

function specOf(object: Kept): unknown {
  return "spec" in object ? object.spec : object;
}

/** The template as it was written goes with the version, so that an undo can put it back. */
function memoryOf(loaded: LoadedObject, memory: Memory): Memory {
  const spec: unknown = field(loaded.written, "spec");
  const template: unknown = field(spec, "template");
  return template === undefined ? memory : { ...memory, writtenTemplate: template };
}

function field(value: unknown, name: string): unknown {
  return typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
}
