/**
 * The reconciler: decides *what* is to be done, pod by pod, whenever something may have changed.
 *
 * What is wanted comes from wanted.ts; here it is compared with what is there. Everything that happens (a file saved, a
 * container ended, a machine done, a timer) only says *look again*: at the sources, at the drivers, or at one key.
 */
import { cpuUsage } from "node:process";
import { type Desired, NOTHING_DESIRED } from "../desired.ts";
import { diff, type KnownPod } from "../diff.ts";
import { sharesHostPort } from "../host-ports.ts";
import type { Container, Pod, Problem } from "../manifest/index.ts";
import { type PlanStep, plan } from "../plan.ts";
import type { DesiredPod } from "../pod/contract.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { TimerHandle } from "../system/clock.ts";
import { execute } from "./execute.ts";
import { Failures, failureEvent } from "./failures.ts";
import { NextImages } from "./next-images.ts";
import { createObserver } from "./observer.ts";
import { createKeyedQueue, type Outcome } from "./queue.ts";
import { heldSentences } from "./reports.ts";
import { removeUnmanaged } from "./unmanaged.ts";
import { createWanted, type WantedOptions, type WantedView } from "./wanted.ts";

export interface ReconcilerOptions extends WantedOptions {
  /** Brings in an image of a running pod's next version, saying so in events. */
  readonly ensureImage: (pod: Pod, container: Container, signal: AbortSignal) => Promise<unknown>;
  /** Removes what outlives the sandboxes of a pod that no machine drives: its volumes and logs. */
  readonly removeTraces: (uid: string, signal: AbortSignal) => Promise<void>;
  readonly concurrency: number;
  /** ms between two full comparisons. */
  readonly intervalMs: number;
  /** Told which pods, by key, are wanted otherwise than before; what runs follows later. */
  readonly wantedChanged?: (keys: ReadonlySet<string>) => void;
  /** Told how long each full comparison took, ms. */
  readonly compared?: (ms: number) => void;
}

export interface Reconciler extends WantedView {
  /** Looks at the drivers once; call it before adopting pods. @returns all that exists */
  observe(): Promise<ReadonlyMap<string, readonly ObservedSandbox[]>>;
  /** Starts the sources and the periodic comparison; resolves after the first full one. */
  start(): Promise<void>;
  /** By pod uid, newest sandbox first, as of the last look. */
  allObserved(): ReadonlyMap<string, readonly ObservedSandbox[]>;
  /** Everything that is wrong with the sources, and the sources that can't be trusted now. */
  problems(): { readonly problems: readonly Problem[]; readonly held: readonly string[] };
  /** What would be done now, without doing it. */
  plan(): PlanStep[];
  /** Images were imported: whatever waits for one looks again. */
  imagesChanged(): void;
  /** Resolves when no key is queued or in work. */
  idle(): Promise<void>;
  close(): Promise<void>;
}

export function createReconciler(options: ReconcilerOptions): Reconciler {
  const { drivers, supervisor, clock, log, store } = options;
  const stopping = new AbortController();
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
    plan(diff(slice, pods, { keepUnwanted: !wanted.isTrusted(), retired }));
  const retired = ({ managed }: KnownPod): boolean => managed !== undefined && wanted.keeps(managed.pod);

  /** What is wanted never collides, so whoever still has one of its ports is about to let it go. */
  const mustWaitForPort = ({ key, pod }: DesiredPod): boolean => {
    const others = supervisor.list().flatMap(({ desired: other }) => (other.key === key ? [] : [other.pod]));
    return sharesHostPort(pod, others);
  };
  const waitingForPort = new Set<string>();

  const process = async (key: string): Promise<Outcome> => {
    const want = wanted.desired().pods.get(key);
    const slice: Desired = {
      ...NOTHING_DESIRED,
      pods: want === undefined ? NOTHING_DESIRED.pods : new Map([[key, want]]),
      withheld: wanted.desired().withheld,
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
    wanted.desired().pods.get(key) ?? supervisor.list().find((state) => state.desired.key === key)?.desired;
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

  const wanted = createWanted(options, {
    onPods(keys) {
      for (const key of keys) queue.add(key);
      options.wantedChanged?.(new Set(keys));
    },
    onConfig(namespaces) {
      nextImages.retryNow(); // one of them may hold a password
      for (const { uid, desired } of supervisor.list())
        if (namespaces.has(desired.pod.metadata.namespace)) supervisor.configChanged(uid);
    },
  });

  /** The periodic full comparison: repairs whatever a missed event left undone. */
  const compareAll = async (): Promise<void> => {
    const [begun, before] = [performance.now(), cpuUsage()];
    await Promise.all([wanted.lookAtSources(), observer.look()]);
    const desired = wanted.desired();
    const keys = new Set(decide(desired, knownPods()).map(({ key }) => key));
    for (const key of keys) queue.add(key);
    const { user, system } = cpuUsage(before);
    const [ms, cpuMs] = [performance.now() - begun, (user + system) / 1000].map((n) => Math.round(n * 10) / 10);
    options.compared?.(performance.now() - begun);
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

  const lookAt = (sandboxId: string): void => {
    observer.lookAt(sandboxId).catch((error: unknown) => log.error({ err: error }, "looking at a sandbox failed"));
  };
  const unsubscribe: (() => void)[] = [];

  return {
    async observe() {
      await observer.look();
      return observer.all();
    },
    async start() {
      unsubscribe.push(
        ...drivers.map((driver) => driver.watch(({ sandboxId }) => lookAt(sandboxId))),
        supervisor.subscribe((change) => {
          wanted.podChanged(change.uid);
          if (change.type === "removed") {
            store.accepted.remove(change.uid);
            observer.removed(change.uid);
            queue.add(change.key);
            for (const key of waitingForPort) queue.add(key);
            waitingForPort.clear();
          }
        }),
      );
      await wanted.start();
      await compareAll();
      tick();
    },
    ...wanted.view,
    allObserved: observer.all,
    problems: () => ({
      problems: [...wanted.report().problems, ...failures.problems(podOf)],
      held: heldSentences(wanted.report()),
    }),
    plan: () => decide(wanted.desired(), knownPods()),
    imagesChanged() {
      nextImages.retryNow();
      for (const key of wanted.desired().pods.keys()) queue.add(key);
      for (const { uid } of supervisor.list()) supervisor.configChanged(uid);
    },
    idle: () => queue.idle(),
    async close() {
      if (stopping.signal.aborted) return;
      stopping.abort();
      clock.clearTimeout(timer);
      for (const stop of unsubscribe) stop();
      await wanted.close();
      await queue.close();
    },
  };
}
