/** The composition root: builds every part, wires them, and takes them down again in good order. */
import { randomUUID } from "node:crypto";
import { statfs } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import type { PodObject } from "./api/contract.ts";
import { loadConfig } from "./config/index.ts";
import { createConfiner } from "./confine/index.ts";
import { adoptPods } from "./daemon/adopt.ts";
import { createDaemonApi } from "./daemon/api.ts";
import { createDrivers } from "./daemon/drivers.ts";
import { createEventRecorder } from "./daemon/events.ts";
import { flagLayer } from "./daemon/flags.ts";
import { keepClean, removeTraces } from "./daemon/garbage.ts";
import { createGitSources } from "./daemon/git-sources.ts";
import { keepMemorySmall } from "./daemon/idle-memory.ts";
import { createImages } from "./daemon/images.ts";
import { keepClaims } from "./daemon/keep-claims.ts";
import { keepDisk, needsOf } from "./daemon/keep-disk.ts";
import { keepDrift } from "./daemon/keep-drift.ts";
import { keepPressure } from "./daemon/keep-pressure.ts";
import { keepTrust } from "./daemon/keep-trust.ts";
import { leaveHost } from "./daemon/leave-host.ts";
import { takeDaemonLock } from "./daemon/lock.ts";
import { keepLogs } from "./daemon/log-keeper.ts";
import { keepNetwork } from "./daemon/mend-network.ts";
import { nodeFacts } from "./daemon/node.ts";
import { createObjectFacts } from "./daemon/object-facts.ts";
import { createPodObjects } from "./daemon/pod-objects.ts";
import { preloadImages } from "./daemon/preload.ts";
import { whenAllReady } from "./daemon/ready.ts";
import { stopAllPods } from "./daemon/stop-pods.ts";
import { stopSignal } from "./daemon/stop-signal.ts";
import { createTransitionLines } from "./daemon/transitions.ts";
import { observeNode, pressureSettings } from "./eviction/observe.ts";
import { settingsOf } from "./gc/index.ts";
import { createLogRotator } from "./logs/index.ts";
import { createOperations } from "./metrics/operations.ts";
import { createRecorder } from "./metrics/recorder.ts";
import { createPodNetwork } from "./network/index.ts";
import { createPodSupervisor } from "./pod/index.ts";
import { createProber } from "./probe/index.ts";
import { createReconciler } from "./reconcile/index.ts";
import { createOpener } from "./secrets/index.ts";
import { createServiceKeeper, linkVariables } from "./service/index.ts";
import { hasTool } from "./setup/find.ts";
import { gitPlace } from "./source/git/index.ts";
import { createFolderSource } from "./source/index.ts";
import { openStore } from "./store/index.ts";
import { type Clock, systemClock } from "./system/clock.ts";
import { exec } from "./system/exec.ts";
import { createLogger, type LogLevel } from "./system/log.ts";
import { layout } from "./system/paths.ts";
import { readProc } from "./system/proc.ts";
import { createUpdater } from "./update/index.ts";
import { createVolumeManager } from "./volume/index.ts";

export interface DaemonOptions {
  /** Default: the system-wide layout. */
  readonly root?: string;
  /** Folders; win over the configuration. */
  readonly manifests?: readonly string[];
  /** Settings by their names in the config file. */
  readonly flags: Readonly<Record<string, string>>;
  /** On SIGINT or SIGTERM: stop every pod and leave nothing on the host (`npm start`). */
  readonly stopPodsOnExit: boolean;
  /** Readable progress, one line per pod transition. */
  readonly onLine?: (line: string) => void;
  /** Told once, when every pod that is wanted is Ready or has ended. */
  readonly onReady?: (pods: readonly PodObject[]) => void;
  /** Default: this host's. */
  readonly clock?: Clock;
}

/**
 * Runs the daemon until SIGINT or SIGTERM.
 * @returns the exit code
 * @throws GantryError daemon-running, invalid-config, state-damaged, host-unsupported …: whatever keeps it from starting
 */
export async function runDaemon(options: DaemonOptions): Promise<number> {
  // After a burst of work the heap is made as small as it can be: 15 MiB less memory for 10 % more CPU time in a burst.
  setFlagsFromString("--optimize-for-size");
  const clock = options.clock ?? systemClock;
  const startedAt = clock.now();
  const say = options.onLine ?? (() => undefined);
  const paths = layout(options.root);
  const config = await loadConfig({ paths, flags: flagLayer(options.flags, options.manifests ?? []) });
  const log = await createLogger({ level: levelFor(options, config.log.level), pretty: process.stderr.isTTY });
  // What is begun is ended in reverse order, also when a later step fails.
  await using ends = new AsyncDisposableStack();
  const lock = takeDaemonLock(paths);
  ends.defer(() => lock.release());
  const stop = stopSignal();
  const { store, notice } = openStore(paths.database);
  ends.defer(() => store.close());
  const node = nodeFacts(config.node.name);
  const events = createEventRecorder(store, log, config.events.keep);
  const recorder = createRecorder(clock.now);
  events.watch(recorder.happened);
  /** Something about the node that people should know. */
  const warn = (reason: string, message: string): void =>
    events.record({
      ...{ object: `Node/${node.name}`, podUid: undefined, type: "Warning", at: clock.now() },
      ...{ reason, message },
    });
  if (notice !== undefined) warn("StateDamaged", notice);

  const { images, trust, follower } = createImages({ paths, config, clock, log });
  ends.defer(() => images.close());
  const volumes = createVolumeManager({
    ...{ paths, log, clock },
    deleteAfterMs: config.volumes.deleteAfterSeconds * 1000,
    hasEnded: (uid) => supervisor.get(uid)?.stage === "completed",
  });
  const network = createPodNetwork({ paths, config, log, exec });
  const operations = createOperations(() => performance.now());
  const drivers = createDrivers({ paths, images, network, log, clock, count: operations.counted }, config);
  const driverFor = drivers.of;
  const services = createServiceKeeper({
    paths,
    config,
    exec,
    log,
    clock,
    network,
    hasDnsServer: () => hasTool("dnsmasq"),
    nodeIp: node.ip,
    controllers: () => reconciler.controllers,
    pods: () => supervisor.list(),
    onTrouble: (message) => warn("ServicesImpaired", message),
  });
  ends.defer(() => leaveHost(drivers.all, images, network, services));
  await network.start(stop.signal);
  await Promise.all([services.start(stop.signal), ...drivers.all.map((driver) => driver.start(stop.signal))]);

  const pressure = keepPressure({
    settings: pressureSettings(config.eviction),
    intervalMs: config.eviction.intervalSeconds * 1000,
    observe: () => observeNode({ nodefs: paths.lib, imagefs: paths.images, read: readProc, statfs }),
    supervisor: () => supervisor,
    driverFor,
    event: events.record,
    node: node.name,
    clock,
    log,
  });
  const supervisor = createPodSupervisor(
    {
      driverFor,
      images,
      volumes,
      prober: createProber(clock, 2 * node.cpus),
      store,
      clock,
      log,
      node,
      confiner: createConfiner({ seccompProfiles: config.seccomp.profiles }),
      podLogs: paths.podLogs,
      configMap: (namespace, name) => reconciler.desired().configMaps.get(`${namespace}/${name}`),
      secret: (namespace, name) => reconciler.desired().secrets.get(`${namespace}/${name}`),
      claim: (namespace, name) => reconciler.desired().claims.get(`${namespace}/${name}`),
      nodePressure: (pod) => pressure.refuses(pod),
      clusterNames: () => ({ domain: config.network.domain, server: services.dns()?.server }),
      serviceLinks: (namespace) => linkVariables(services.links(namespace)),
      pinnedImage: (key, container, image) => updater.pinned(key, container, image),
      event: ({ metadata }, podUid, type, reason, message) =>
        events.record({
          object: `Pod/${metadata.namespace}/${metadata.name}`,
          podUid,
          type,
          reason,
          message,
          at: clock.now(),
        }),
    },
    { maxBackoffMs: config.backoff.maxSeconds * 1000, pullsPerPod: config.images.pullsPerPod },
  );
  ends.defer(() => supervisor.close());
  const reconciler = createReconciler({
    sources: config.manifests.map((path) =>
      createFolderSource({ path, lastGood: store.lastGood, clock, opener: createOpener(config.secrets.age.keys) }),
    ),
    drivers: drivers.all,
    defaultRuntimeClass: "namespace",
    handlers: config.runtime.handlers,
    supervisor,
    ensureImage: supervisor.ensureImage,
    store,
    clock,
    log,
    newUid: randomUUID,
    event: events.record,
    removeTraces: (uid, signal) => removeTraces(uid, { volumes, podLogs: paths.podLogs }, signal),
    concurrency: config.reconcile.concurrency,
    intervalMs: config.reconcile.intervalSeconds * 1000,
    compared: recorder.compared,
    wantedChanged: (keys) => objects.wantedChanged(keys),
    deadlineMs: config.update.deadlineSeconds * 1000,
    settleMs: config.update.settleSeconds * 1000,
  });
  ends.defer(() => reconciler.close());
  const gitSources = createGitSources({ paths, config, node, store, events, reconciler, supervisor, clock, log });
  ends.defer(() => gitSources.close());
  await gitSources.sources.reload();
  const updater = createUpdater({
    supervisor,
    images,
    store,
    secret: (namespace, name) => reconciler.desired().secrets.get(`${namespace}/${name}`),
    isWanted: (key) => reconciler.imagesNamed() === undefined || reconciler.desired().pods.has(key),
    event: ({ uid, desired: { key } }, type, reason, message) =>
      events.record({ object: `Pod/${key}`, podUid: uid, type, reason, message, at: clock.now() }),
    onChange: (uid) => objects.refresh(uid),
    clock,
    log,
    intervalMs: config.update.intervalSeconds * 1000,
    deadlineMs: config.update.deadlineSeconds * 1000,
    settleMs: config.update.settleSeconds * 1000,
  });
  ends.defer(() => updater.close());
  const facts = createObjectFacts(store.served, clock, randomUUID, log);
  const notes = (key: string): readonly string[] => {
    const note = reconciler.rollbackNote(key);
    return note === undefined ? updater.notes(key) : [...updater.notes(key), note];
  };
  const objects = createPodObjects({
    ...{ supervisor, node, clock, notes },
    owners: (key) => facts.get(`Pod ${key}`),
    wanted: (key) => reconciler.desired().pods.get(key),
  });
  ends.defer(() => objects.close());
  objects.watch(createTransitionLines(clock, say));
  objects.watch(recorder.podChanged);
  const memory = keepMemorySmall(clock);
  ends.defer(() => memory.end());
  objects.watch(() => memory.busy());
  memory.busy(); // the start is a burst, too
  // Known before the first pod is to start.
  await pressure.look();
  adoptPods(store, supervisor, await reconciler.observe(), log);
  const disk = keepDisk(
    {
      images,
      needs: needsOf(reconciler.imagesNamed, supervisor, reconciler.allObserved, updater.held),
      settings: settingsOf(config.gc),
      intervalMs: config.gc.intervalSeconds * 1000,
      podLogs: paths.podLogs,
      event: events.record,
      node: node.name,
      clock,
      log,
    },
    stop.signal,
  );
  ends.defer(() => disk.end());
  const claimKeeper = keepClaims({
    ...{ volumes: volumes.claims, reconciler, supervisor, clock, log },
    event: events.record,
  });
  const api = createDaemonApi({
    ...{ supervisor, reconciler, objects, facts, images, store, driverFor, services, pressure, recorder },
    gitSources: gitSources.sources,
    ...{ operations, config, paths, node, startedAt, clock, log },
    volumes: volumes.claims,
    claims: claimKeeper,
    collectGarbage: disk.collect,
    watchEvents: events.watch,
    onTrouble: (message) => warn("ApiNotServed", message),
    onBurst: () => memory.busy(),
  });
  ends.defer(() => services.close());
  await reconciler.start();
  ends.defer(supervisor.subscribe(services.changed));
  ends.defer(reconciler.watchObjects(services.changed));
  services.begin();
  await gitSources.begin();
  await api.start();
  ends.defer(() => api.close());
  // The sources are read by now: before, nothing could be told to be unused.
  pressure.begin(disk.collectAll);
  ends.defer(() => pressure.end());
  say(`watching ${config.manifests.join(", ")}`);
  log.info(
    { pid: process.pid, root: paths.root, manifests: config.manifests, ms: clock.now() - startedAt },
    "watching",
  );
  if (options.onReady !== undefined) whenAllReady(objects, () => reconciler.desired().pods.size, options.onReady);
  const preloading = preloadImages(
    {
      folder: config.images.preload,
      memory: join(paths.images, "preloaded.json"),
      images,
      onImported(file, names) {
        log.info({ file, names }, "imported a file of the preload folder");
        reconciler.imagesChanged();
      },
      onFailed: (file, message) => warn("PreloadFailed", `${file}: ${message}`),
      log,
    },
    stop.signal,
  );
  ends.defer(() => preloading);
  const observed = reconciler.allObserved;
  ends.defer(keepLogs(createLogRotator({ ...config.logs, log, clock }), supervisor, driverFor, observed, clock));
  ends.defer(
    keepClean({ drivers: drivers.all, volumes, supervisor, podLogs: paths.podLogs, observed, clock, log }, stop.signal),
  );
  claimKeeper.start(stop.signal);
  ends.defer(() => claimKeeper.end());
  updater.start();
  ends.defer(
    keepTrust(
      {
        trust,
        follower,
        followIntervalMs: (config.trust.tuf?.intervalSeconds ?? 0) * 1000,
        onChange: () => supervisor.imagesChanged(),
        event: events.record,
        node: node.name,
        clock,
        log,
      },
      stop.signal,
    ),
  );
  ends.defer(
    keepNetwork({ network, services, intervalMs: config.reconcile.intervalSeconds * 1000, clock, log }, stop.signal),
  );

  ends.defer(
    keepDrift(
      {
        drivers: drivers.all,
        pods: () => supervisor.list(),
        tell: ({ desired }, message) => gitSources.sources.drifted(gitPlace(desired.origin)?.source, message),
        event: events.record,
        intervalMs: config.reconcile.intervalSeconds * 1000,
        clock,
        log,
      },
      stop.signal,
    ),
  );

  const signal = await stop.received;
  log.info({ signal }, "stopping");
  if (options.stopPodsOnExit) {
    await reconciler.close(); // or it would bring them back
    await stopAllPods(supervisor, say);
  }
  return 0;
}

/** A person who reads the lines about pods wants to hear from the log only what is wrong. */
function levelFor({ onLine, flags }: DaemonOptions, level: LogLevel): LogLevel {
  const quiet = onLine !== undefined && process.stderr.isTTY && flags["log.level"] === undefined && level === "info";
  return quiet ? "warn" : level;
}
