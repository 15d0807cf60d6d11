/** What is wanted: what the sources say, what controllers make of it, and which versions were gone back to. */
import { type Controllers, createControllers } from "../controller/manager.ts";
import { buildDesired, type Desired, NOTHING_DESIRED, withholdBroken } from "../desired.ts";
import { imageNamesIn } from "../gc/names.ts";
import { identityOf, type LoadedObject, type Pod, type Problem } from "../manifest/index.ts";
import type { DesiredPod, PodSupervisor } from "../pod/contract.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import type { Source } from "../source/contract.ts";
import { distinct } from "../source/duplicates.ts";
import type { NewEvent, StateStore } from "../store/contract.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { WantedClaims } from "../volume/index.ts";
import { coalesce } from "./coalesce.ts";
import { hasOtherObjects, namespacesWithOtherConfig } from "./config-changes.ts";
import { madeClaims, withMade } from "./made.ts";
import { pace } from "./pace.ts";
import { doubtOf, reportEvents, type SourceReport } from "./reports.ts";
import { Versions } from "./versions.ts";

export interface WantedOptions {
  readonly sources: readonly Source[];
  readonly defaultRuntimeClass: string;
  readonly handlers: Readonly<Record<string, string>>;
  /** ms that a changed pod may take to become ready, where it does not say. */
  readonly deadlineMs: number;
  /** ms that it must have been ready. */
  readonly settleMs: number;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly newUid: () => string;
  readonly event: (event: NewEvent) => void;
  readonly supervisor: PodSupervisor;
  readonly drivers: readonly SandboxDriver[];
}

export interface WantedListeners {
  /** The pods of these keys are wanted otherwise than before. */
  readonly onPods: (keys: readonly string[]) => void;
  /** In these namespaces a ConfigMap, Secret or claim is another one than before. */
  readonly onConfig: (namespaces: ReadonlySet<string>) => void;
}

/** What others may know of it. */
export interface WantedView {
  desired(): Desired;
  /** What a pod was rolled back from, as a sentence. */
  rollbackNote(key: string): string | undefined;
  /** Deployments, Jobs … and what they keep. */
  readonly controllers: Controllers;
  /** Calls back when any of their objects, or a ConfigMap, Secret, claim or RuntimeClass, is another one than before. */
  watchObjects(listener: () => void): () => void;
  /** The file that an object is taken from, by its identity: "Pod default/web". */
  fileOf(identity: string): string | undefined;
  /** Every claim that there is; undefined while the sources were not read yet. */
  claims(): WantedClaims | undefined;
  /** The claims that manifests have, with their places. */
  writtenClaims(): readonly LoadedObject[];
  /** Every image that a manifest names; undefined while a source can't be trusted, or was not read yet. */
  imagesNamed(): ReadonlySet<string> | undefined;
  /** Reads the sources now; resolves when what they say is in force. */
  lookAtSources(): Promise<void>;
  /** From now on this source is read, too; one of the same name is let go of. */
  addSource(source: Source): Promise<void>;
  /** Stops it; what it asked for is wanted no more. */
  removeSource(source: Source): Promise<void>;
  /**
   * What would be wrong with these objects in place of those whose files begin with `prefix`, beside those of all
   * other sources. Nothing changes by it.
   */
  check(prefix: string, objects: readonly LoadedObject[]): readonly Problem[];
}

export interface Wanted extends WantedView {
  readonly view: WantedView;
  /** Starts the sources; what they find later is looked at by itself. */
  start(): Promise<void>;
  /** A pod is otherwise than before: its version may be good by now, its controller may want another. */
  podChanged(uid: string): void;
  /** Whether what is not wanted may be removed: every source was read, and can be trusted. */
  isTrusted(): boolean;
  /** Whether the owner of a pod is there, and so decides about it. */
  keeps(pod: Pod): boolean;
  /** What is wrong with the sources. */
  report(): SourceReport;
  close(): Promise<void>;
}

export function createWanted(options: WantedOptions, { onPods, onConfig }: WantedListeners): Wanted {
  const { drivers, supervisor, clock, log, store } = options;
  const sources = new Map(options.sources.map((source) => [source.name, source]));
  let desired = NOTHING_DESIRED;
  /** The file that each object is taken from, by identity: of two sources, the one that was first goes on. */
  let owners: ReadonlyMap<string, string> = new Map();
  let synced = false;
  let started = false;
  let closed = false;
  let imagesNamed: ReadonlySet<string> = new Set();
  let sourceReport: SourceReport = { problems: [], held: new Map() };
  /** What the sources said last. */
  let written: readonly LoadedObject[] = [];
  let found: readonly Problem[] = [];
  let held: ReadonlyMap<string, string> = new Map();
  let doubt: string | undefined;
  const objectListeners = new Set<() => void>();
  const tellOfObjects = (): void => {
    for (const listener of objectListeners) listener();
  };

  /** Reads every source, and puts together what is wanted. */
  const lookAtSources = coalesce(async (): Promise<void> => {
    if (closed) return;
    if (!synced) owners = ownersOf(supervisor.list());
    const states = await Promise.all(
      [...sources.values()].map(async (source) => ({ source, state: await source.read() })),
    );
    const all = states.flatMap(({ state }) => state.objects);
    imagesNamed = new Set(imageNamesIn(all.map(({ object }) => object)));
    const { objects, problems: rivals } = distinct(all, (identity) => owners.get(identity));
    owners = new Map(objects.map((loaded) => [identityOf(loaded.object), loaded.place.file]));
    written = objects;
    const foundInFiles = states.flatMap(({ state }) => state.problems);
    found = [...foundInFiles, ...rivals];
    held = new Map(
      states.flatMap(({ source, state }) => (state.held === undefined ? [] : [[source.name, state.held]])),
    );
    synced = true;
    const doubtBefore = doubt;
    const empty = states.filter(({ state }) => state.objects.length === 0).map(({ source }) => source.name);
    doubt = doubtOf(held, foundInFiles, empty);
    const broken = found.flatMap(({ severity, object }) =>
      severity === "error" && object !== undefined ? [object] : [],
    );
    controllers.written(written, new Set(broken));
    rebuild();
    if (doubt !== doubtBefore) tellOfObjects();
  });

  const build = (objects: readonly LoadedObject[]): Desired =>
    buildDesired(objects, {
      accepted: new Map(supervisor.list().map(({ desired: pod }): [string, DesiredPod] => [pod.key, pod])),
      drivers: drivers.map(({ runtimeClass }) => runtimeClass),
      defaultRuntimeClass: options.defaultRuntimeClass,
      handlers: options.handlers,
    });

  const rebuild = (): void => {
    const before = desired;
    const { objects, problems: taken } = withMade(written, controllers.pods());
    const built = build(objects);
    const wanted = versions.apply(withholdBroken(built, found), held.size === 0);
    desired = { ...wanted, claims: new Map([...madeClaims(controllers.claims(), before.claims), ...wanted.claims]) };
    report({ problems: [...found, ...taken, ...controllers.problems(), ...desired.problems], held });
    const keys = [...new Set([...before.pods.keys(), ...desired.pods.keys()])];
    onPods(keys.filter((key) => before.pods.get(key) !== desired.pods.get(key)));
    // At the first time, too: pods that were taken over before it have found no ConfigMap yet.
    const changed = namespacesWithOtherConfig(before, desired);
    if (changed.size > 0) onConfig(changed);
    // Where there are claims each look is one at their volumes, too, which others may have damaged.
    if (before.claims.size + desired.claims.size > 0 || hasOtherObjects(before, desired)) tellOfObjects();
  };

  const report = (next: SourceReport): void => {
    for (const event of reportEvents(sourceReport, next, clock.now())) options.event(event);
    sourceReport = next;
  };

  const controllers = createControllers({
    store: store.objects,
    pods: () => supervisor.list(),
    event: options.event,
    onChange(podsChanged) {
      if (podsChanged && synced) rebuild();
      tellOfObjects();
    },
    clock,
    log,
    newUid: options.newUid,
  });
  const versions = new Versions({
    store: store.versions,
    supervisor,
    clock,
    log,
    event: options.event,
    onRollback: () => {
      if (synced) rebuild();
    },
    deadlineMs: options.deadlineMs,
    settleMs: options.settleMs,
  });

  const paced = pace(lookAtSources);
  const look = (): void => {
    paced().catch((error: unknown) => log.error({ err: error }, "reading the sources failed"));
  };
  const isTrusted = (): boolean => synced && sourceReport.held.size === 0;
  const view: WantedView = {
    desired: () => desired,
    rollbackNote: (key) => versions.note(key),
    controllers,
    watchObjects(listener) {
      objectListeners.add(listener);
      return () => objectListeners.delete(listener);
    },
    fileOf: (identity) => owners.get(identity),
    claims: () => (synced ? { claims: desired.claims, doubt } : undefined),
    writtenClaims: () => written.filter(({ object }) => object.kind === "PersistentVolumeClaim"),
    imagesNamed: () => (isTrusted() ? imagesNamed : undefined),
    lookAtSources,
    async addSource(source) {
      if (started) await source.start(look);
      sources.set(source.name, source);
      if (started) await lookAtSources();
    },
    async removeSource(source) {
      if (sources.get(source.name) === source) sources.delete(source.name);
      await source.stop();
      await lookAtSources();
    },
    check(prefix, objects) {
      const others = written.filter(({ place }) => !place.file.startsWith(prefix));
      const together = distinct([...others, ...objects], (identity) => owners.get(identity));
      const built = build(together.objects);
      return [...together.problems, ...built.problems].filter(({ place }) => place.file.startsWith(prefix));
    },
  };
  return {
    ...view,
    view,
    async start() {
      started = true;
      await Promise.all([...sources.values()].map((source) => source.start(look)));
    },
    podChanged(uid) {
      const state = supervisor.get(uid);
      if (state !== undefined) versions.look(state);
      controllers.podChanged(state, uid);
    },
    isTrusted,
    keeps: (pod) => synced && controllers.keeps(pod),
    report: () => sourceReport,
    async close() {
      closed = true;
      controllers.close();
      versions.close();
      await Promise.all([...sources.values()].map((source) => source.stop()));
    },
  };
}

/** Of pods that were taken over: the file that each is from, so that of two sources the same one goes on. */
function ownersOf(states: readonly { readonly desired: DesiredPod }[]): Map<string, string> {
  return new Map(states.map(({ desired: { key, origin } }) => [`Pod ${key}`, origin.replace(/:\d+$/, "")]));
}
