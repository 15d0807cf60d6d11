/**
 * The reconciler: decides *what* is to be done, pod by pod, whenever something may have changed.
 *
 * Everything that happens (a file saved, a container ended, a machine done, a timer) only says *look again*:
 * at the sources, at the drivers, or at one key.
 */
import { cpuUsage } from "node:process";
import { type Controllers, createControllers } from "../controller/manager.ts";
import { buildDesired, type Desired, NOTHING_DESIRED, withholdBroken } from "../desired.ts";
import { diff, type KnownPod } from "../diff.ts";
import { imageNamesIn } from "../gc/names.ts";
import { sharesHostPort } from "../host-ports.ts";
import { type Container, identityOf, type LoadedObject, type Pod, type Problem } from "../manifest/index.ts";
import { type PlanStep, plan } from "../plan.ts";
import type { DesiredPod, PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";
import type { Source } from "../source/contract.ts";
import { distinct } from "../source/duplicates.ts";
import type { NewEvent, StateStore } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import type { WantedClaims } from "../volume/index.ts";
import { coalesce } from "./coalesce.ts";
import { namespacesWithOtherConfig } from "./config-changes.ts";
import { execute } from "./execute.ts";
import { Failures, failureEvent } from "./failures.ts";
import { madeClaims, withMade } from "./made.ts";
import { NextImages } from "./next-images.ts";
import { createObserver } from "./observer.ts";
import { pace } from "./pace.ts";
import { createKeyedQueue, type Outcome } from "./queue.ts";
import { doubtOf, heldSentences, reportEvents, type SourceReport } from "./reports.ts";
import { removeUnmanaged } from "./unmanaged.ts";
import { Versions } from "./versions.ts";

export interface ReconcilerOptions {
  readonly sources: readonly Source[];
  readonly drivers: readonly SandboxDriver[];
  readonly defaultRuntimeClass: string;
  readonly handlers: Readonly<Record<string, string>>;
  readonly supervisor: PodSupervisor;
  /** Brings in an image of a running pod's next version, saying so in events. */
  readonly ensureImage: (pod: Pod, container: Container, signal: AbortSignal) => Promise<unknown>;
  readonly store: StateStore;
  readonly clock: Clock;
  readonly log: Logger;
  readonly newUid: () => string;
  readonly event: (event: NewEvent) => void;
  /** Removes what outlives the sandboxes of a pod that no machine drives: its volumes and logs. */
  readonly removeTraces: (uid: string, signal: AbortSignal) => Promise<void>;
  readonly concurrency: number;
  /** ms that a changed pod may take to become ready, where it does not say. */
  readonly deadlineMs: number;
  /** ms that it must have been ready. */
  readonly settleMs: number;
  /** ms between two full comparisons. */
  readonly intervalMs: number;
}

export interface Reconciler {
  /** Looks at the drivers once; call it before adopting pods. @returns all that exists */
  observe(): Promise<ReadonlyMap<string, readonly ObservedSandbox[]>>;
  /** Starts the sources and the periodic comparison; resolves after the first full one. */
  start(): Promise<void>;
  /** From now on this source is read, too; one of the same name is let go of. */
  addSource(source: Source): Promise<void>;
  /** Stops it; what it asked for is wanted no more. */
  removeSource(source: Source): Promise<void>;
  /**
   * What would be wrong with these objects in place of those whose files begin with `prefix`, beside those of all
   * other sources. Nothing changes by it.
   */
  check(prefix: string, objects: readonly LoadedObject[]): readonly Problem[];
  /** The file that an object is taken from, by its identity: "Pod default/web". */
  fileOf(identity: string): string | undefined;
  /** By pod uid, newest sandbox first, as of the last look. */
  allObserved(): ReadonlyMap<string, readonly ObservedSandbox[]>;
  desired(): Desired;
  /** What a pod was rolled back from, as a sentence. */
  rollbackNote(key: string): string | undefined;
  /** Deployments, Jobs … and what they keep. */
  readonly controllers: Controllers;
  /** Calls back when any of their objects is another one than before. */
  watchObjects(listener: () => void): () => void;
  /** Every claim that there is; undefined while the sources were not read yet. */
  claims(): WantedClaims | undefined;
  /** The claims that manifests have, with their places. */
  writtenClaims(): readonly LoadedObject[];
  /** Every image that a manifest names; undefined while a source can't be trusted, or was not read yet. */
  imagesNamed(): ReadonlySet<string> | undefined;
  /** Everything that is wrong with the sources, and the sources that can't be trusted now. */
  problems(): { readonly problems: readonly Problem[]; readonly held: readonly string[] };
  /** What would be done now, without doing it. */
  plan(): PlanStep[];
  /** Images were imported: whatever waits for one looks again. */
  imagesChanged(): void;
  /** Reads the sources now; resolves when what they say is in force. */
  lookAtSources(): Promise<void>;
  /** Resolves when no key is queued or in work. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { drivers, supervisor, clock, log, store } = options;
  const sources = new Map(options.sources.map((source) => [source.name, source]));
  const stopping = new AbortController();
  let desired = NOTHING_DESIRED;
  /** The file that each object is taken from, by identity: of two sources, the one that was first goes on. */
  let owners: ReadonlyMap<string, string> = new Map();
  let synced = false;
  let imagesNamed: ReadonlySet<string> = new Set();
  let sourceReport: SourceReport = { problems: [], held: new Map() };
  const observer = createObserver(drivers, supervisor);
  let timer: TimerHandle | undefined;
  let reconcileId = 0;

  const knownPods = (): KnownPod[] => {
    const managed = supervisor.list().map(
      (state): KnownPod => ({
        uid: state.uid,
        key: state.desired.key,
        managed: state.desired,
        deleting: state.deletionDeadline !== undefined || state.stage === "stopping" || state.stage === "removed",
        sandboxHash: state.desired.sandboxHash,
      }),
    );
    const uids = new Set(managed.map(({ uid }) => uid));
    const unmanaged = [...observer.all()].flatMap(([uid, [newest]]): KnownPod[] => {
      if (newest === undefined || uids.has(uid) || removing.has(uid)) return [];
      const key = `${newest.pod.namespace}/${newest.pod.name}`;
      return [{ uid, key, managed: undefined, deleting: false, sandboxHash: newest.labels["gantry.dev/sandbox-hash"] }];
    });
    return [...managed, ...unmanaged];
  };
  const removing = new Set<string>();

  const decide = (slice: Desired, pods: readonly KnownPod[]): PlanStep[] =>
    // Before the sources were read for the first time nothing can be told to be unwanted.
    plan(diff(slice, pods, { keepUnwanted: !synced || sourceReport.held.size > 0, retired }));
  const retired = ({ managed }: KnownPod): boolean => synced && managed !== undefined && controllers.keeps(managed.pod);

  /** What is wanted never collides, so whoever still has one of its ports is about to let it go. */
  const mustWaitForPort = ({ key, pod }: DesiredPod): boolean => {
    const others = supervisor.list().flatMap(({ desired: other }) => (other.key === key ? [] : [other.pod]));
    return sharesHostPort(pod, others);
  };
  const waitingForPort = new Set<string>();

  const process = async (key: string): Promise<Outcome> => {
    const want = desired.pods.get(key);
    const slice: Desired = {
      ...NOTHING_DESIRED,
      pods: want === undefined ? NOTHING_DESIRED.pods : new Map([[key, want]]),
      withheld: desired.withheld,
    };
    const steps = decide(
      slice,
      knownPods().filter((pod) => pod.key === key),
    );
    if (!steps.some(({ type }) => type === "ensure-images")) nextImages.forget(key);
    if (steps.length === 0) return { type: "done" };
    if (want !== undefined && steps.some(({ type }) => type === "create-pod") && mustWaitForPort(want)) {
      waitingForPort.add(key);
      return { type: "done" };
    }
    const id = ++reconcileId;
    log.debug({ pod: key, reconcileId: id, steps: steps.map(({ type }) => type) }, "reconcile");
    return execute(steps, {
      supervisor,
      images: nextImages,
      store,
      newUid: options.newUid,
      observed: (uid) => observer.all().get(uid) ?? [],
      removeUnmanaged: async (uid) => {
        removing.add(uid);
        try {
          await removeUnmanaged(observer.all().get(uid) ?? [], drivers, stopping.signal);
          await options.removeTraces(uid, stopping.signal);
          await observer.look();
        } finally {
          removing.delete(uid);
        }
      },
    });
  };

  const nextImages = new NextImages({
    ensure: options.ensureImage,
    again: (key) => queue.add(key),
    clock,
    signal: stopping.signal,
  });
  const failures = new Failures();
  const podOf = (key: string): DesiredPod | undefined =>
    desired.pods.get(key) ?? supervisor.list().find((state) => state.desired.key === key)?.desired;
  const queue = createKeyedQueue({
    async process(key) {
      const outcome = await process(key);
      failures.clear(key);
      return outcome;
    },
    clock,
    concurrency: options.concurrency,
    onError(key, error, retryInMs) {
      log.error({ pod: key, err: error, retryInMs }, "reconcile failed, will be tried again");
      if (failures.add(key, error)) options.event(failureEvent(key, error, clock.now()));
    },
  });

  /** Reads every source; queues the keys that are wanted otherwise than before. */
  const lookAtSources = coalesce(async (): Promise<void> => {
    if (stopping.signal.aborted) return;
    if (!synced) owners = ownersOf(supervisor.list());
    const states = await Promise.all(
      [...sources.values()].map(async (source) => ({ source, state: await source.read() })),
    );
    written = states.flatMap(({ state }) => state.objects);
    imagesNamed = new Set(imageNamesIn(written.map(({ object }) => object)));
    const { objects, problems: rivals } = distinct(written, (identity) => owners.get(identity));
    owners = new Map(objects.map((loaded) => [identityOf(loaded.object), loaded.place.file]));
    written = objects;
    found = [...states.flatMap(({ state }) => state.problems), ...rivals];
    held = new Map(
      states.flatMap(({ source, state }) => (state.held === undefined ? [] : [[source.name, state.held]])),
    );
    synced = true;
    const [doubtBefore, foundInFiles] = [doubt, states.flatMap(({ state }) => state.problems)];
    doubt = doubtOf(
      held,
      foundInFiles,
      states.filter(({ state }) => state.objects.length === 0).map(({ source }) => source.name),
    );
    const broken = found.flatMap(({ severity, object }) =>
      severity === "error" && object !== undefined ? [object] : [],
    );
    controllers.written(written, new Set(broken));
    rebuild();
    if (doubt !== doubtBefore) for (const listener of objectListeners) listener();
  });

  /** What the sources said last, and what controllers make of it. */
  let written: readonly LoadedObject[] = [];
  let found: readonly Problem[] = [];
  let held: ReadonlyMap<string, string> = new Map();
  let doubt: string | undefined;

  /** Puts together what is wanted; queues the keys that are wanted otherwise than before. */
  const rebuild = (): void => {
    const before = desired;
    const accepted = new Map(supervisor.list().map(({ desired: pod }): [string, DesiredPod] => [pod.key, pod]));
    const { objects, problems: taken } = withMade(written, controllers.pods());
    const built = buildDesired(objects, {
      accepted,
      drivers: drivers.map(({ runtimeClass }) => runtimeClass),
      defaultRuntimeClass: options.defaultRuntimeClass,
      handlers: options.handlers,
    });
    const wanted = versions.apply(withholdBroken(built, found), held.size === 0);
    desired = { ...wanted, claims: new Map([...madeClaims(controllers.claims()), ...wanted.claims]) };
    report({ problems: [...found, ...taken, ...controllers.problems(), ...desired.problems], held });
    for (const key of new Set([...before.pods.keys(), ...desired.pods.keys()])) {
      if (before.pods.get(key) !== desired.pods.get(key)) queue.add(key);
    }
    // At the first time, too: pods that were taken over before it have found no ConfigMap yet.
    tellConfigChanges(before, desired);
    if (before.claims.size + desired.claims.size > 0) for (const listener of objectListeners) listener();
  };

  const controllers = createControllers({
    store: store.objects,
    pods: () => supervisor.list(),
    event: options.event,
    onChange(podsChanged) {
      if (podsChanged && synced) rebuild();
      for (const listener of objectListeners) listener();
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
  const objectListeners = new Set<() => void>();

  const report = (next: SourceReport): void => {
    for (const event of reportEvents(sourceReport, next, clock.now())) options.event(event);
    sourceReport = next;
  };

  const tellConfigChanges = (before: Desired, after: Desired): void => {
    const changed = namespacesWithOtherConfig(before, after);
    if (changed.size === 0) return;
    nextImages.retryNow(); // one of them may hold a password
    for (const { uid, desired: pod } of supervisor.list()) {
      if (changed.has(pod.pod.metadata.namespace)) supervisor.configChanged(uid);
    }
  };

  /** The periodic full comparison: repairs whatever a missed event left undone. */
  const compareAll = async (): Promise<void> => {
    const [begun, before] = [performance.now(), cpuUsage()];
    await Promise.all([lookAtSources(), observer.look()]);
    const keys = new Set(decide(desired, knownPods()).map(({ key }) => key));
    for (const key of keys) queue.add(key);
    const { user, system } = cpuUsage(before);
    const [ms, cpuMs] = [performance.now() - begun, (user + system) / 1000].map((n) => Math.round(n * 10) / 10);
    log.debug({ ms, cpuMs, pods: desired.pods.size, differences: keys.size }, "compared");
  };

  const tick = (): void => {
    timer = clock.setTimeout(() => {
      compareAll()
        .catch((error: unknown) => log.error({ err: error }, "the full comparison failed, the next one follows"))
        .finally(() => {
          if (!stopping.signal.aborted) tick();
        });
    }, options.intervalMs);
  };

  const background = (what: string, work: () => Promise<void>) => (): void => {
    work().catch((error: unknown) => log.error({ err: error }, `${what} failed`));
  };
  const unsubscribe: (() => void)[] = [];
  const look = background("reading the sources", pace(lookAtSources));
  let started = false;

  return {
    async observe() {
      await observer.look();
      return observer.all();
    },
    async start() {
      unsubscribe.push(
        ...drivers.map((driver) =>
          driver.watch(({ sandboxId }) => background("looking at a sandbox", () => observer.lookAt(sandboxId))()),
        ),
        supervisor.subscribe((change) => {
          const state = supervisor.get(change.uid);
          if (state !== undefined) versions.look(state);
          controllers.podChanged(state, change.uid);
          if (change.type === "removed") {
            store.accepted.remove(change.uid);
            observer.removed(change.uid);
            queue.add(change.key);
            for (const key of waitingForPort) queue.add(key);
            waitingForPort.clear();
          }
        }),
      );
      started = true;
      await Promise.all([...sources.values()].map((source) => source.start(look)));
      await compareAll();
      tick();
    },
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
      const accepted = new Map(supervisor.list().map(({ desired: pod }): [string, DesiredPod] => [pod.key, pod]));
      const built = buildDesired(together.objects, {
        accepted,
        drivers: drivers.map(({ runtimeClass }) => runtimeClass),
        defaultRuntimeClass: options.defaultRuntimeClass,
        handlers: options.handlers,
      });
      return [...together.problems, ...built.problems].filter(({ place }) => place.file.startsWith(prefix));
    },
    fileOf: (identity) => owners.get(identity),
    allObserved: observer.all,
    desired: () => desired,
    rollbackNote: (key) => versions.note(key),
    controllers,
    watchObjects(listener) {
      objectListeners.add(listener);
      return () => objectListeners.delete(listener);
    },
    claims: () => (synced ? { claims: desired.claims, doubt } : undefined),
    writtenClaims: () => written.filter(({ object }) => object.kind === "PersistentVolumeClaim"),
    imagesNamed: () => (synced && sourceReport.held.size === 0 ? imagesNamed : undefined),
    problems: () => ({
      problems: [...sourceReport.problems, ...failures.problems(podOf)],
      held: heldSentences(sourceReport),
    }),
    plan: () => decide(desired, knownPods()),
    imagesChanged() {
      nextImages.retryNow();
      for (const key of desired.pods.keys()) queue.add(key);
      for (const { uid } of supervisor.list()) supervisor.configChanged(uid);
    },
    lookAtSources,
    idle: () => queue.idle(),
    async close() {
      if (stopping.signal.aborted) return;
      stopping.abort();
      clock.clearTimeout(timer);
      controllers.close();
      versions.close();
      for (const stop of unsubscribe) stop();
      await Promise.all([...sources.values()].map((source) => source.stop()));
      await queue.close();
    },
  };
}

/** Of pods that were taken over: the file that each is from, so that of two sources the same one goes on. */
function ownersOf(states: readonly { readonly desired: DesiredPod }[]): Map<string, string> {
  return new Map(states.map(({ desired: { key, origin } }) => [`Pod ${key}`, origin.replace(/:\d+$/, "")]));
}
