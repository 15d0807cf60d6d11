/**
 * The controllers at work: keeps their objects, shows each controller what there is, and does what it says. Objects
 * that a manifest has are given from outside; those that controllers make are kept in the state store, so that they
 * have the same names after a restart of the daemon.
 */
import type { LoadedObject, Pod, Problem, Service } from "../manifest/index.ts";
import type { PodState } from "../pod/contract.ts";
import type { NewEvent, StateStore } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { Child, Claim, Deed, Live, Memory, Outcome, Scene } from "./contract.ts";
import { Entries, type Entry, idOf, isLive, isWorkload, type Kept, keyOf, sameSpec } from "./entries.ts";
import { historyOf, type Version } from "./history.ts";
import { controllerOf, suffixOf } from "./names.ts";
import { PodManifests } from "./pod-manifests.ts";
import { earliest } from "./pods.ts";
import { run } from "./run.ts";
import { leavingPods, sceneOf } from "./scene.ts";
import { takeOver } from "./take-over.ts";

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
  /**
   * What the manifests ask for now; the controllers act on it at once.
   * @param broken identities of which the manifest can't be read: what is kept of them stays
   */
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
  /** The Services, oldest first. */
  services(): readonly ServiceEntry[];
  /** Keeps what a Service was given. */
  rememberService(key: string, memory: Memory): void;
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

export interface ServiceEntry {
  readonly live: Live<Service>;
  /** Undefined until the manifests were read. */
  readonly loaded: LoadedObject | undefined;
}

/** What follows from one look may ask for the next; more than this in a row is a fault of ours. */
const MOST_ROUNDS = 50;
/** What happens within this time is one look. ms */
const SOON_MS = 10;
/** The longest that node's timers can wait, with room. ms */
const LONGEST_TIMER_MS = 2 ** 30;
/** A controller that failed is tried again after so long. ms */
const RETRY_MS = 10_000;

export function createControllers(options: ControllersOptions): Controllers {
  return new Manager(options);
}

class Manager implements Controllers {
  readonly #options: ControllersOptions;
  readonly #entries: Entries;
  readonly #podManifests: PodManifests;
  /** When an object is to be looked at though nothing happens, ms since the epoch. */
  readonly #waits = new Map<string, number>();
  #problems: Problem[] = [];
  #timer: TimerHandle | undefined;
  #soon: TimerHandle | undefined;
  /** The manifests were read: before that nothing is known of what is wanted. */
  #known = false;
  #closed = false;
  /** How much had been written when others were told last. */
  #told = { writes: 0, podWrites: 0 };

  constructor(options: ControllersOptions) {
    this.#options = options;
    this.#entries = new Entries(options.store, options.log);
    this.#podManifests = new PodManifests(this.#entries);
  }

  written(objects: readonly LoadedObject[], broken: ReadonlySet<string> = new Set()): void {
    const { clock, newUid } = this.#options;
    this.#known = true;
    this.#problems = [];
    const there = new Set<string>();
    for (const loaded of objects) {
      const { object } = loaded;
      if (!isWorkload(object) && object.kind !== "Service") continue;
      there.add(idOf(object));
      const problem = takeOver(this.#entries, loaded, object, { now: clock.now(), newUid });
      if (problem !== undefined) this.#problems.push(problem);
    }
    for (const [key, { object }] of this.#entries.list()) {
      const isWritten = (isWorkload(object) || object.kind === "Service") && controllerOf(object) === undefined;
      if (isWritten && !there.has(key) && !broken.has(key)) this.#entries.forget(key);
    }
    this.look();
  }

  podChanged(state: PodState | undefined, uid: string): void {
    const owned = state === undefined ? this.#entries.size > 0 : controllerOf(state.desired.pod) !== undefined;
    if (!owned || this.#soon !== undefined || this.#closed || uid === "") return;
    this.#soon = this.#options.clock.setTimeout(() => this.look(), SOON_MS);
  }

  look(): void {
    const { clock, pods, random = Math.random } = this.#options;
    if (this.#closed || !this.#known) return;
    clock.clearTimeout(this.#soon);
    this.#soon = undefined;
    const all = pods();
    const states = Map.groupBy(all, ({ desired }) => desired.key);
    const entries = this.#entries;
    const suffix = (): string => suffixOf(random);
    for (let round = 0, before = -1; round < MOST_ROUNDS && entries.writes !== before; round++) {
      entries.collect();
      before = entries.writes;
      const sight = { now: clock.now(), suffix, states, leaving: leavingPods(all, entries) };
      for (const [key, me] of entries.list()) {
        if (isWorkload(me.object) && entries.get(key) === me) this.#reconcile(me, sceneOf(entries, me.uid, sight));
      }
    }
    entries.collect();
    this.#settle();
  }

  pods(): readonly LoadedObject[] {
    return this.#podManifests.list();
  }

  claims(): readonly Claim[] {
    return this.#entries.list().flatMap(([, { object }]) => (object.kind === "PersistentVolumeClaim" ? [object] : []));
  }

  problems(): readonly Problem[] {
    return this.#problems;
  }

  services(): readonly ServiceEntry[] {
    const found = this.#entries
      .list()
      .flatMap(([, entry]) => (isLive(entry, "Service") ? [{ live: entry, loaded: entry.loaded }] : []));
    return found.sort(
      (a, b) => a.live.createdAt - b.live.createdAt || (idOf(a.live.object) < idOf(b.live.object) ? -1 : 1),
    );
  }

  rememberService(key: string, memory: Memory): void {
    const entry = this.#entries.get(`Service ${key}`);
    if (entry === undefined) return;
    this.#entries.save(`Service ${key}`, { ...entry, memory }, entry.loaded);
    this.#settle();
  }

  objects(): readonly Live<Kept>[] {
    return this.#entries.list().flatMap(([, entry]) => (entry.object.kind === "Pod" ? [] : [entry]));
  }

  originOf({ object }: Live<Kept>): string | undefined {
    const place = this.#entries.get(idOf(object))?.loaded?.place;
    return place === undefined ? undefined : `${place.file}:${place.line}`;
  }

  history(kind: string, key: string): readonly Version[] {
    return historyOf(this.#entries, kind, key);
  }

  drop(kind: Child["kind"], key: string): boolean {
    if (!this.#entries.has(`${kind} ${key}`)) return false;
    this.#entries.forget(`${kind} ${key}`);
    this.look();
    return true;
  }

  madeKind(kind: string, key: string): Child["kind"] | undefined {
    const found = this.#entries.get(`${kind} ${key}`)?.object;
    if (found?.kind === "PersistentVolumeClaim") return found.kind; // it may have lost its set
    if (found === undefined || controllerOf(found) === undefined) return undefined;
    const { kind: known } = found;
    return known === "ReplicaSet" || known === "Job" || known === "ControllerRevision" ? known : undefined;
  }

  owns(key: string): boolean {
    return this.#entries.has(`Pod ${key}`);
  }

  keeps(pod: Pod): boolean {
    const owner = controllerOf(pod);
    return owner !== undefined && this.#entries.list().some(([, { uid }]) => uid === owner.uid);
  }

  close(): void {
    const { clock } = this.#options;
    this.#closed = true;
    clock.clearTimeout(this.#timer);
    clock.clearTimeout(this.#soon);
  }

  #reconcile(me: Entry, scene: Scene): void {
    try {
      this.#act(me, run(me, scene));
    } catch (error) {
      const { clock, log } = this.#options;
      log.error({ object: idOf(me.object), err: error }, "a controller failed; it is tried again");
      this.#waits.set(idOf(me.object), clock.now() + RETRY_MS);
    }
  }

  #act(me: Entry, outcome: Outcome): void {
    const key = idOf(me.object);
    for (const deed of outcome.deeds) this.#do(me, deed);
    if (!this.#entries.has(key)) return;
    const { status, memory = me.memory, lookAt } = outcome;
    this.#entries.save(key, { ...me, status, memory }, me.loaded);
    if (lookAt === undefined) this.#waits.delete(key);
    else this.#waits.set(key, lookAt);
    // A finished Job that a CronJob made goes when its time to live is over; one of a manifest stays, without pods.
    if (me.object.kind === "Job" && outcome.memory?.["expired"] === true && controllerOf(me.object) !== undefined)
      this.#entries.forget(key);
  }

  #do(me: Entry, deed: Deed): void {
    switch (deed.type) {
      case "put":
        this.#put(deed.child, deed.memory, me.loaded);
        break;
      case "drop":
        this.#entries.forget(`${deed.kind} ${deed.key}`);
        break;
      case "tell": {
        const { level: type, reason, message } = deed;
        const object = `${me.object.kind}/${keyOf(me.object)}`;
        this.#options.event({ object, podUid: me.uid, type, reason, message, at: this.#options.clock.now() });
      }
    }
  }

  #put(child: Child, memory: Memory | undefined, loaded: LoadedObject | undefined): void {
    const { clock, log, newUid } = this.#options;
    const key = idOf(child);
    const before = this.#entries.get(key);
    if (before !== undefined && !mayReplace(before.object, child)) {
      const owner = before.loaded?.place.file ?? "another controller";
      log.warn({ object: key, owner }, "a controller can't make an object whose name is taken");
      return;
    }
    const fresh = { uid: newUid(), createdAt: clock.now(), generation: 0, status: undefined, memory: {} };
    const known = before ?? fresh;
    const changed = before === undefined || !sameSpec(before.object, child);
    const generation = known.generation + (changed ? 1 : 0);
    const { uid, createdAt, status } = known;
    this.#entries.save(
      key,
      { object: child, uid, createdAt, generation, status, memory: memory ?? known.memory },
      loaded,
    );
  }

  /** Waits for what comes by time alone, and tells what is otherwise now. */
  #settle(): void {
    const { clock, onChange } = this.#options;
    const entries = this.#entries;
    for (const key of [...this.#waits.keys()]) if (!entries.has(key)) this.#waits.delete(key);
    const at = earliest([...this.#waits.values()]);
    clock.clearTimeout(this.#timer);
    const waitMs = at === undefined ? undefined : Math.min(LONGEST_TIMER_MS, Math.max(SOON_MS, at - clock.now()));
    this.#timer = waitMs === undefined ? undefined : clock.setTimeout(() => this.look(), waitMs);
    const { writes, podWrites } = this.#told;
    this.#told = { writes: entries.writes, podWrites: entries.podWrites };
    if (entries.writes !== writes) onChange(entries.podWrites !== podWrites);
  }
}

/** It has the same owner; claims, which outlive their set, have none or one as the set says at the time. */
function mayReplace(before: Kept, child: Child): boolean {
  const [was, is] = [controllerOf(before)?.uid, controllerOf(child)?.uid];
  return was === is || (child.kind === "PersistentVolumeClaim" && (was === undefined || is === undefined));
}
