/** One machine per pod uid, in a map; the only place that starts and stops them. */
import { type Actor, createActor } from "xstate";
import { type Standing, waitingFor } from "../dependencies.ts";
import { dependenciesOf } from "../manifest/pod-annotations.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import { messageOf } from "../system/errors.ts";
import { createLimiter } from "../system/limiter.ts";
import { eventsBetween } from "./changes.ts";
import type { DesiredPod, PodChange, PodPorts, PodState, PodSupervisor } from "./contract.ts";
import { ephemeralUsage } from "./effects/disk-usage.ts";
import { FactsWriter } from "./effects/facts-writer.ts";
import { ensureImage } from "./effects/image.ts";
import { createPodEnv, type PodScope } from "./effects/index.ts";
import { UNDER_PRESSURE, WAITING } from "./effects/sandboxes.ts";
import { tell } from "./effects/scope.ts";
import { Tracker } from "./effects/tracker.ts";
import { MAX_BACKOFF_ANNOTATION } from "./labels.ts";
import type { PodContext } from "./machine/context.ts";
import { initialContext } from "./machine/initial.ts";
import { podMachine } from "./machine/machine.ts";
import { BACKOFF_MAX_MS, maxBackoff } from "./rules/backoff.ts";
import { conditionsOf } from "./rules/conditions.ts";
import { diskVolumes } from "./rules/ephemeral.ts";
import { isSame } from "./rules/observation.ts";
import { phaseOf } from "./rules/phase.ts";
import { machineState, podState } from "./state.ts";

export interface PodSupervisorOptions {
  /** Starts (and removals) of sandboxes and containers at once. Default: two per CPU. */
  readonly concurrency?: number;
  /** Images of one pod that are pulled at once. Default 3. */
  readonly pullsPerPod?: number;
  /** The longest restart backoff, ms. Default 5 minutes. */
  readonly maxBackoffMs?: number;
  /** Default /etc/resolv.conf */
  readonly resolvConf?: string;
}

interface Entry {
  readonly actor: Actor<typeof podMachine>;
  readonly scope: PodScope;
  /** Computed once per snapshot: lists of a thousand pods are asked for often. */
  state: PodState;
  /** What listeners were told last. */
  told: string;
  context: PodContext;
}

/** A machine that broke is built anew after this long: a fault of ours in one pod is not to cost the pod. */
const REBUILD_MS = 10_000;

export function createPodSupervisor(ports: PodPorts, options: PodSupervisorOptions = {}): PodSupervisor {
  const { clock, log, store } = ports;
  const limiter = createLimiter(options.concurrency ?? 2 * ports.node.cpus);
  const nodeMaxBackoffMs = options.maxBackoffMs ?? BACKOFF_MAX_MS;
  const entries = new Map<string, Entry>();
  const trackers = new Set<Tracker>();
  const listeners = new Set<(change: PodChange) => void>();
  const rebuilds = new Map<string, unknown>();
  /** What the last daemon left behind, until a machine takes it over. */
  const remembered = new Map(store.pods.list().map((facts) => [facts.uid, facts]));
  const timers = {
    setTimeout: (fn: () => void, ms: number) => clock.setTimeout(fn, ms),
    clearTimeout: (timer: unknown) => clock.clearTimeout(timer),
  };
  let closed = false;

  const notify = (change: PodChange): void => {
    for (const listener of listeners) {
      try {
        listener(change);
      } catch (error) {
        log.error({ uid: change.uid, err: error }, "a listener of pod changes failed");
      }
    }
  };

  const standingOf = (key: string): Standing => {
    const states = [...entries.values()].map(({ state }) => state).filter((state) => state.desired.key === key);
    if (states.length === 0) return "missing";
    return states.some(isReady) ? "ready" : "unready";
  };
  const waitsFor = ({ pod }: DesiredPod): string | undefined => {
    const keys = dependenciesOf(pod.metadata);
    return keys.length === 0 ? undefined : waitingFor(keys, standingOf);
  };
  /** A pod became ready, or went: whoever waits for pods looks again. */
  const wakeWaiting = (key: string): void => {
    for (const { actor, context } of [...entries.values()]) {
      if (context.problem?.reason !== WAITING || !dependenciesOf(context.desired.pod.metadata).includes(key)) continue;
      actor.send({ type: "config" });
    }
  };

  const create = (desired: DesiredPod, uid: string, observed: readonly ObservedSandbox[]): void => {
    const tracker = new Tracker();
    trackers.add(tracker);
    const scope: PodScope = {
      uid,
      ports,
      writer: new FactsWriter(store, uid),
      limiter,
      pulls: createLimiter(options.pullsPerPod ?? 3),
      images: new Map(),
      pulling: (container, text) => entries.get(uid)?.actor.send({ type: "pulling", container, text }),
      tracker,
      waitsFor,
      resolvConf: options.resolvConf ?? "/etc/resolv.conf",
    };
    const stored = remembered.get(uid);
    remembered.delete(uid);
    const containers = stored === undefined ? [] : store.containers.list(uid);
    const context = initialContext({
      env: createPodEnv(scope, nodeMaxBackoffMs),
      desired,
      uid,
      stored,
      containers,
      observed,
      now: clock.now(),
    });
    const actor = createActor(podMachine, {
      input: context,
      clock: timers,
    });
    const entry: Entry = { actor, scope, state: podState(context, "preparing", clock.now()), told: "", context };
    entries.set(uid, entry);
    warnOfAnnotation(scope, desired);
    actor.subscribe({
      next: (snapshot) => moved(entry, snapshot),
      error: (error) => broken(entry, error),
    });
    actor.start();
  };

  /** After every step of a machine: facts are written, and whoever listens is told what is different now. */
  const moved = (entry: Entry, snapshot: ReturnType<Entry["actor"]["getSnapshot"]>): void => {
    const { scope } = entry;
    const { context } = snapshot;
    for (const { type, reason, message } of eventsBetween(entry.context, context))
      tell(scope, context.desired, type, reason, message);
    const before = entry.context.desired;
    entry.context = context;
    if (snapshot.status === "done") {
      entries.delete(scope.uid);
      trackers.delete(scope.tracker);
      notify({ type: "removed", uid: scope.uid, key: context.desired.key });
      return;
    }
    try {
      scope.writer.save(context.pod, context.facts);
    } catch (error) {
      // Tried again after the next step; work that must not begin before it is written waits for it itself.
      log.warn({ uid: scope.uid, reason: messageOf(error) }, "facts about a pod could not be written");
    }
    const wasReady = isReady(entry.state);
    entry.state = podState(context, machineState(snapshot.value), clock.now());
    if (!wasReady && isReady(entry.state)) wakeWaiting(entry.state.desired.key);
    const { desired, ...rest } = entry.state;
    const now = JSON.stringify(rest);
    if (now === entry.told && desired === before) return;
    entry.told = now;
    notify({ type: "changed", uid: scope.uid });
  };

  const broken = (entry: Entry, error: unknown): void => {
    const { uid } = entry.scope;
    log.error({ uid, pod: entry.context.desired.key, err: error }, "the machine of a pod broke; it is built anew");
    entry.context.env.close();
    const { desired } = entry.context;
    const timer = clock.setTimeout(() => {
      rebuilds.delete(uid);
      if (closed || entries.get(uid) !== entry) return;
      entries.delete(uid);
      remembered.set(uid, entry.context.pod);
      create(desired, uid, entry.context.known);
    }, REBUILD_MS);
    rebuilds.set(uid, timer);
  };

  const warnOfAnnotation = (scope: PodScope, desired: DesiredPod): void => {
    const { invalid, ms } = maxBackoff(desired.pod.metadata.annotations?.[MAX_BACKOFF_ANNOTATION], nodeMaxBackoffMs);
    if (invalid === undefined) return;
    const message = `Annotation ${MAX_BACKOFF_ANNOTATION} is ${JSON.stringify(invalid)}, not a number of seconds from 1 to 300; ${ms / 1000} is used`;
    tell(scope, desired, "Warning", "InvalidAnnotation", message);
  };

  return {
    ensure(desired, uid, observed) {
      if (closed) return;
      const entry = entries.get(uid);
      if (entry === undefined) {
        create(desired, uid, observed);
        return;
      }
      if (entry.context.desired !== desired) warnOfAnnotation(entry.scope, desired);
      entry.actor.send({ type: "desired", desired });
    },
    remove: (uid, graceMs) => entries.get(uid)?.actor.send({ type: "remove", graceMs }),
    restart: (uid, container) => entries.get(uid)?.actor.send({ type: "restart", container }),
    evict: (uid, message) => entries.get(uid)?.actor.send({ type: "evict", message }),
    async diskUsage(uid, unit) {
      const entry = entries.get(uid);
      if (entry === undefined) return { containers: {}, volumes: {} };
      const all = { containers: true, volumes: diskVolumes(entry.context.desired.pod) };
      return await ephemeralUsage(entry.scope, entry.context, all, unit);
    },
    pressureSeen() {
      const waiting = [...entries.values()].filter(({ context }) => context.problem?.reason === UNDER_PRESSURE);
      for (const { actor, context, scope } of waiting)
        if (scope.ports.nodePressure?.(context.desired.pod) === undefined) actor.send({ type: "config" });
    },
    observe(uid, observed) {
      const entry = entries.get(uid);
      // Most looks, at most pods, find nothing new.
      if (entry === undefined || isSame(entry.context.known, observed)) return;
      entry.actor.send({ type: "observed", sandboxes: observed });
    },
    configChanged: (uid) => entries.get(uid)?.actor.send({ type: "config" }),
    imagesChanged() {
      for (const { actor, context } of [...entries.values()]) {
        if (context.retry !== undefined || Object.keys(context.holds).length > 0) actor.send({ type: "config" });
      }
    },
    ensureImage(pod, container, signal) {
      const { namespace, name } = pod.metadata;
      const uid = [...entries.values()].find(({ state }) => state.desired.key === `${namespace}/${name}`)?.scope.uid;
      const listener = {
        event: (type: "Normal" | "Warning", reason: string, message: string) =>
          ports.event(pod, uid ?? "", type, reason, message),
        progress: () => {},
      };
      return ensureImage(ports, pod, container, listener, signal);
    },
    get: (uid) => entries.get(uid)?.state,
    list: () => [...entries.values()].map(({ state }) => state),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    async close() {
      closed = true;
      for (const timer of rebuilds.values()) clock.clearTimeout(timer);
      for (const { actor } of entries.values()) actor.stop();
      await Promise.all([...trackers].map((tracker) => tracker.idle()));
      entries.clear();
      listeners.clear();
    },
  };
}

/** One that was to end and has succeeded is as good as ready for those that wait for it. */
function isReady(state: PodState): boolean {
  if (state.deletionDeadline !== undefined) return false;
  if (phaseOf(state) === "Succeeded") return true;
  return conditionsOf(state).some(({ type, status }) => type === "Ready" && status === "True");
}
