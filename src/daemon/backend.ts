import type { ApiBackend, DaemonInfo, NodeObject } from "../api/contract.ts";
import type { Version } from "../controller/history.ts";
import { keyOf } from "../desired.ts";
import type { GcReport } from "../gc/index.ts";
import type { ImageStore } from "../image/index.ts";
import { pullSteps } from "../image/pull/steps.ts";
import type { Problem } from "../manifest/index.ts";
import type { Metrics } from "../metrics/meter.ts";
import type { NodeFacts, PodSupervisor } from "../pod/contract.ts";
import type { Reconciler } from "../reconcile/index.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import type { ServiceKeeper } from "../service/index.ts";
import { type GitSources, gitPlace } from "../source/git/index.ts";
import type { ManifestWriter, ObjectId } from "../source/index.ts";
import type { PodEvent, StateStore } from "../store/contract.ts";
import { GantryError, isGantryError } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import { volumeEntries } from "../volume/claim/entries.ts";
import type { ClaimVolumes } from "../volume/index.ts";
import { requireImage, usersOf } from "./image-users.ts";
import { logTarget } from "./log-target.ts";
import { refuseFullNamespace } from "./namespaces.ts";
import type { FactsOfObjects } from "./object-facts.ts";
import type { PodObjects } from "./pod-objects.ts";
import { findPod, givenUp, requireContainer, requirePod, running, runningPod } from "./pod-targets.ts";
import { refuseShrinking } from "./refuse-shrinking.ts";
import { labelOf, whereWritten } from "./where-written.ts";

import type { WorkloadObjects } from "./workload-objects.ts";
import { writeObject } from "./write-object.ts";

export interface BackendParts {
  readonly supervisor: PodSupervisor;
  readonly reconciler: Reconciler;
  readonly objects: PodObjects;
  readonly workloads: WorkloadObjects;
  readonly facts: FactsOfObjects;
  readonly images: ImageStore;
  readonly volumes: ClaimVolumes;
  readonly services: Pick<ServiceKeeper, "problems" | "troubles">;
  /** Claims that ask for what can't be. */
  readonly claimProblems: () => readonly Problem[];
  readonly store: StateStore;
  readonly writer: ManifestWriter;
  readonly gitSources: GitSources;
  readonly driverFor: (runtimeClass: string) => SandboxDriver;
  readonly collectGarbage: (dryRun: boolean) => Promise<GcReport>;
  readonly watchEvents: (listener: (event: PodEvent) => void) => () => void;
  readonly metrics: () => Promise<Metrics>;
  readonly scrape: ApiBackend["scrape"];
  readonly health: ApiBackend["health"];
  readonly describedNode: () => NodeObject;
  readonly node: NodeFacts;
  readonly info: DaemonInfo;
  readonly paths: Paths;
}

/** What the API serves, over the daemon's parts. */
export function createBackend(parts: BackendParts): ApiBackend {
  const { supervisor, reconciler, objects, images, store, writer } = parts;
  return {
    pods: objects.list,
    watchPods: objects.watch,
    objects: parts.workloads.list,
    watchObjects: parts.workloads.watch,
    gitSources: () => parts.gitSources.list(),
    gitSource: (name) => parts.gitSources.status(name),
    reloadGitSources: () => parts.gitSources.reload(),
    syncGitSource: (name, wish) => parts.gitSources.sync(name, wish),
    suspendGitSource: (name, suspended) => parts.gitSources.suspend(name, suspended),
    diffGitSource: (name) => parts.gitSources.diff(name),
    rollbackGitSource: (name, wanted) => parts.gitSources.rollback(name, wanted),
    async editObject(kind, namespace, name, changes) {
      const id = idOf(kind, namespace, name);
      refuseFromGit(parts, id);
      const file = await whereWritten(reconciler, id, () => writer.edit(id, changes));
      await reconciler.lookAtSources();
      return file;
    },
    async deleteObject(kind, namespace, name) {
      const { controllers } = reconciler;
      const made = controllers.madeKind(kind, `${namespace}/${name}`);
      if (made !== undefined && controllers.drop(made, `${namespace}/${name}`)) return;
      const id = idOf(kind, namespace, name);
      if (kind === "Namespace") refuseFullNamespace(name, [...parts.objects.list(), ...parts.workloads.list()]);
      refuseFromGit(parts, id);
      await whereWritten(reconciler, id, () => writer.remove(id));
      await reconciler.lookAtSources();
    },
    async undoRollout(kind, namespace, name, wanted) {
      const id = { kind, namespace, name };
      refuseFromGit(parts, id);
      const { revision, written } = versionToGoBackTo(parts, kind, namespace, name, wanted);
      const edits = [{ path: ["spec", "template"], value: written }];
      const file = await whereWritten(reconciler, id, () => writer.edit(id, edits));
      await reconciler.lookAtSources();
      return { revision, file };
    },
    writeObject: (request) => writeObject(parts, request),
    async volumes() {
      const [volumes, room] = await Promise.all([parts.volumes.list(), parts.volumes.room()]);
      return volumeEntries(volumes, reconciler.claims() ?? { claims: new Map(), doubt: "nothing was read yet" }, room);
    },
    async removeVolume(namespace, name) {
      const key = `${namespace}/${name}`;
      const { controllers } = reconciler;
      // One that a StatefulSet made is in no manifest, and stays when its set is gone: this is the way to end it.
      const made = controllers.claims().some((claim) => keyOf(claim) === key);
      if (!made && reconciler.desired().claims.has(key)) {
        throw new GantryError("conflict", `the volume ${namespace}/${name} is claimed: its data would be lost`, {
          hint: `Take the PersistentVolumeClaim out of its manifest first: gantry delete pvc/${key}`,
        });
      }
      await parts.volumes.remove(namespace, name, new AbortController().signal);
      if (!made) return;
      controllers.drop("PersistentVolumeClaim", key);
      await reconciler.lookAtSources();
    },
    node: parts.describedNode,
    metrics: parts.metrics,
    scrape: parts.scrape,
    health: parts.health,
    events: () => store.events.list(),
    watchEvents: parts.watchEvents,
    problems() {
      const { problems, held } = reconciler.problems();
      const all = [...problems, ...parts.claimProblems(), ...parts.services.problems()];
      return { problems: all, held, troubles: [...parts.services.troubles(), ...parts.gitSources.troubles()] };
    },
    plan: reconciler.plan,
    async apply(text, fileName) {
      await refuseShrinking(parts.volumes, text, fileName);
      const results = [...(await writer.apply(text, fileName))];
      await reconciler.lookAtSources();
      return results;
    },
    async deletePod(namespace, name, graceMs) {
      const state = findPod(supervisor, namespace, name);
      if (reconciler.controllers.drop("Pod", `${namespace}/${name}`)) {
        // Its controller may make another in its place.
        if (state !== undefined) supervisor.remove(state.uid, graceMs);
        return;
      }
      const id = { kind: "Pod", namespace, name };
      refuseFromGit(parts, id);
      try {
        await whereWritten(reconciler, id, () => writer.remove(id));
      } catch (error) {
        // One that is on its way out is in no file any more; it may still be hurried.
        if (state === undefined || !isGantryError(error, "not-found")) throw error;
      }
      // The file is gone: what runs by it goes at once, in the grace that was asked for.
      if (state !== undefined) supervisor.remove(state.uid, graceMs);
      await reconciler.lookAtSources();
    },
    restartPod(namespace, name, container) {
      const state = requirePod(supervisor, namespace, name);
      if (container !== undefined) requireContainer(state, container);
      if (state.failure !== undefined) throw givenUp(state, state.failure.reason);
      supervisor.restart(state.uid, container);
    },
    logFile: (namespace, name, container, previous) =>
      logTarget(
        { podLogs: parts.paths.podLogs, supervisor },
        requirePod(supervisor, namespace, name),
        container,
        previous,
      ),
    exec(namespace, name, container, request, signal) {
      const { driver, sandboxId, containerId } = running(parts, namespace, name, container);
      return driver.exec(sandboxId, containerId, request, signal);
    },
    attach(namespace, name, container, request, signal) {
      const { driver, sandboxId, containerId } = running(parts, namespace, name, container);
      return driver.attach(sandboxId, containerId, request, signal);
    },
    forwardPort(namespace, name, port, signal) {
      const { driver, sandboxId } = runningPod(parts, namespace, name);
      return driver.forwardPort(sandboxId, port, signal);
    },
    images: () => images.list(),
    async importImage(from, name, signal, shownAs) {
      const image = await images.import(from, name, signal, shownAs);
      reconciler.imagesChanged();
      return image;
    },
    async importImages(from, signal, shownAs) {
      const brought = await images.importAll(from, signal, shownAs);
      reconciler.imagesChanged();
      return brought;
    },
    async *pullImage(name, credentials, signal) {
      yield* pullSteps(images, name, credentials, signal);
      reconciler.imagesChanged();
    },
    verifyImages: (names, repair, signal) => images.verify(names, repair, signal),
    async exportImages(names) {
      for (const name of names) await requireImage(images, name);
      return (signal) => images.export(names, signal);
    },
    removeImage: (nameOrDigest) => images.remove(nameOrDigest, (digest, name) => usersOf(parts, digest, name)),
    collectGarbage: parts.collectGarbage,
    info: () => parts.info,
  };
}

/** @param namespace "" for what belongs to the whole node */
function idOf(kind: string, namespace: string, name: string): ObjectId {
  return { kind, namespace: namespace === "" ? undefined : namespace, name };
}

/** What a repository says is changed there: here it would be put back. @throws GantryError conflict */
function refuseFromGit({ reconciler }: BackendParts, id: ObjectId): void {
  const file = reconciler.fileOf(labelOf(id));
  const place = file === undefined ? undefined : gitPlace(file);
  if (place === undefined) return;
  throw new GantryError("conflict", `${labelOf(id)} is from the Git source ${place.source} (${place.path})`, {
    hint: `Change it in the repository; or stop following that for a while: gantry sync suspend ${place.source}`,
  });
}

/** @throws GantryError not-found, conflict when there is nothing to go back to */
function versionToGoBackTo(
  { reconciler }: BackendParts,
  kind: string,
  namespace: string,
  name: string,
  wanted: number | undefined,
): Version {
  const all = reconciler.controllers.history(kind, `${namespace}/${name}`);
  const object = `${kind.toLowerCase()}/${name}`;
  const hint = `See what there is: gantry rollout history ${object} -n ${namespace}`;
  if (all.length === 0) throw new GantryError("not-found", `there is no ${object} in namespace ${namespace}`, { hint });
  const found =
    wanted === undefined || wanted === 0
      ? all.findLast(({ current }) => !current)
      : all.find(({ revision }) => revision === wanted);
  if (found === undefined) {
    const what = wanted === undefined || wanted === 0 ? "no earlier revision" : `no revision ${wanted}`;
    throw new GantryError("not-found", `${object} has ${what}`, { hint });
  }
  if (found.current) throw new GantryError("conflict", `${object} is at revision ${found.revision} already`, { hint });
  if (found.written === undefined)
    throw new GantryError("conflict", `what was written for revision ${found.revision} is not known`, { hint });
  return found;
}
