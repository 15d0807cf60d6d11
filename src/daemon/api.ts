/** The API over the daemon's parts: what it shows, measures and tells of its health. */
import { type ApiServer, createApiServer } from "../api/server.ts";
import type { Config } from "../config/index.ts";
import { keyOf } from "../desired.ts";
import { createDiskUse } from "../metrics/disk-use.ts";
import { createMeter } from "../metrics/meter.ts";
import type { Operations } from "../metrics/operations.ts";
import type { Recorder } from "../metrics/recorder.ts";
import { scrape } from "../metrics/scrape.ts";
import type { ServiceKeeper } from "../service/index.ts";
import { type EndpointSlice, endpointsOf } from "../service/slices.ts";
import { createManifestWriter } from "../source/index.ts";
import type { Clock } from "../system/clock.ts";
import type { Logger } from "../system/log.ts";
import { readProc } from "../system/proc.ts";
import { VERSION } from "../system/version.ts";
import { type BackendParts, createBackend } from "./backend.ts";
import { daemonHealth } from "./health.ts";
import type { ClaimKeeper } from "./keep-claims.ts";
import type { PressureKeeper } from "./keep-pressure.ts";
import { nodeObject } from "./node.ts";
import { plainObjects, withVolume } from "./plain-objects.ts";
import { secureApi } from "./secure-api.ts";
import { createWorkloadObjects, type Derived } from "./workload-objects.ts";

export interface ApiParts
  extends Pick<
    BackendParts,
    | "supervisor"
    | "reconciler"
    | "objects"
    | "facts"
    | "images"
    | "volumes"
    | "store"
    | "gitSources"
    | "driverFor"
    | "collectGarbage"
    | "watchEvents"
    | "node"
    | "paths"
  > {
  readonly services: ServiceKeeper;
  readonly claims: ClaimKeeper;
  readonly pressure: PressureKeeper;
  readonly recorder: Recorder;
  readonly operations: Operations;
  readonly config: Config;
  /** ms since the epoch, when the daemon began. */
  readonly startedAt: number;
  readonly clock: Clock;
  readonly log: Logger;
  /** The API could not be served over TLS. */
  readonly onTrouble: (message: string) => void;
  /** A burst of answers has come to its end. */
  readonly onBurst: () => void;
}

export function createDaemonApi(parts: ApiParts): ApiServer {
  const { reconciler, objects, services, claims, recorder, config, startedAt, clock, node, paths, facts } = parts;
  const describedNode = () => nodeObject(node, { startedAt, now: clock.now() }, VERSION, parts.pressure.now());
  const { supervisor, driverFor } = parts;
  const measuring = { pods: supervisor.list, driverFor, read: readProc, node: node.name, clock };
  const diskUsage = createDiskUse((uid) => supervisor.diskUsage(uid, "bytes"), clock);
  const backend = createBackend({
    ...parts,
    workloads: createWorkloadObjects(
      reconciler.controllers,
      () => [
        ...withEndpoints(services.slices(node.name)),
        ...plainObjects({
          desired: reconciler.desired,
          madeClaims: () => new Set(reconciler.controllers.claims().map((claim) => keyOf(claim))),
          originOf: reconciler.fileOf,
          volumes: claims.volumes,
          pods: objects.list,
          node: describedNode,
          namespacesOfOthers: () => reconciler.controllers.objects().map(({ object }) => object.metadata.namespace),
          facts,
        }),
      ],
      (object) => {
        if (object.kind !== "PersistentVolumeClaim") return object;
        const { namespace = "", name } = object.metadata;
        const claim = reconciler.desired().claims.get(`${namespace}/${name}`);
        const volume = claims.volumes().find((one) => one.namespace === namespace && one.name === name);
        return claim === undefined ? object : withVolume(object, claim, volume);
      },
      (listener) => watchAll(parts, listener),
      facts,
      clock,
    ),
    claimProblems: claims.problems,
    writer: createManifestWriter(config.manifests),
    describedNode,
    metrics: createMeter(measuring),
    scrape: (what) =>
      scrape(
        {
          ...{ ...measuring, objects: objects.list, describedNode, recorder, operations: parts.operations, diskUsage },
          ...{ version: VERSION, cpus: node.cpus, startedAt },
        },
        what,
      ),
    health: daemonHealth({
      recorder,
      intervalMs: config.reconcile.intervalSeconds * 1000,
      startedAt,
      now: clock.now,
      held: () => reconciler.problems().held,
      readState: () => parts.store.updates.list(),
    }),
    info: {
      version: VERSION,
      pid: process.pid,
      startedAt,
      root: paths.root,
      manifests: config.manifests,
      ociRuntime: config.runtime.oci,
      listen: config.api.listen,
    },
  });
  const secure = secureApi(config, paths, parts.onTrouble, parts.onBurst);
  return createApiServer({ backend, socketPath: paths.socket, secure, log: parts.log, clock });
}

function withEndpoints(slices: readonly EndpointSlice[]): Derived[] {
  return [...slices, ...endpointsOf(slices)];
}

/** Calls back when an object beside pods may have changed. */
function watchAll({ reconciler, services, claims, objects }: ApiParts, listener: () => void): () => void {
  const ends = [
    reconciler.watchObjects(listener),
    services.watch(listener),
    claims.watchVolumes(listener),
    objects.watch(({ type }) => {
      if (type !== "MODIFIED") listener(); // a namespace may have come or gone
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}
