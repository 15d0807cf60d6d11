import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { ApiBackend, DaemonInfo, LogTarget, NodeObject } from "../api/contract.ts";
import type { Version } from "../controller/history.ts";
import { controllerOf } from "../controller/names.ts";
import { keyOf } from "../desired.ts";
import type { GcReport } from "../gc/index.ts";
import { type ImageStore, normalizeName } from "../image/index.ts";
import { pullSteps } from "../image/pull/steps.ts";
import type { Problem } from "../manifest/index.ts";
import type { Metrics } from "../metrics/meter.ts";
import type { ContainerState, NodeFacts, PodState, PodSupervisor } from "../pod/contract.ts";
import { volumeImagesOf } from "../pod/labels.ts";
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
import type { FactsOfObjects } from "./object-facts.ts";
import type { PodObjects } from "./pod-objects.ts";
import { refuseShrinking } from "./refuse-shrinking.ts";
import { whereWritten } from "./where-written.ts";
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
      const id = { kind, namespace, name };
      refuseFromGit(parts, id);
      const file = await whereWritten(reconciler, id, () => writer.edit(id, changes));
      await reconciler.lookAtSources();
      return file;
    },
    async deleteObject(kind, namespace, name) {
      const { controllers } = reconciler;
      const made = controllers.madeKind(kind, `${namespace}/${name}`);
      if (made !== undefined && controllers.drop(made, `${namespace}/${name}`)) return;
      const id = { kind, namespace, name };
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
      logTarget(parts, requirePod(supervisor, namespace, name), container, previous),
    exec(namespace, name, container, request, signal) {
      const { driver, sandboxId, containerId } = running(parts, namespace, name, container);
      return driver.exec(sandboxId, containerId, request, signal);
    },
    attach(namespace, name, container, request, signal) {
      const { driver, sandboxId, containerId } = running(parts, namespace, name, container);
      return driver.attach(sandboxId, containerId, request, signal);
    },
    forwardPort(namespace, name, port, signal) {
      const state = requirePod(supervisor, namespace, name);
      if (state.sandbox === undefined || state.stage === "completed") {
        throw new GantryError("conflict", `pod ${namespace}/${name} does not run`, {
          hint: `See why: gantry describe ${name} -n ${namespace}`,
        });
      }
      return parts.driverFor(state.desired.runtimeClass).forwardPort(state.sandbox.id, port, signal);
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

/** What a repository says is changed there: here it would be put back. @throws GantryError conflict */
function refuseFromGit({ reconciler }: BackendParts, { kind, namespace, name }: ObjectId): void {
  const file = reconciler.fileOf(`${kind} ${namespace}/${name}`);
  const place = file === undefined ? undefined : gitPlace(file);
  if (place === undefined) return;
  throw new GantryError(
    "conflict",
    `${kind} ${namespace}/${name} is from the Git source ${place.source} (${place.path})`,
    { hint: `Change it in the repository; or stop following that for a while: gantry sync suspend ${place.source}` },
  );
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

async function requireImage(images: ImageStore, name: string): Promise<void> {
  const held = await images.list();
  const known = held.some(({ digest }) => digest === name || digest.startsWith(`sha256:${name}`));
  if (known || (await images.resolve(name)) !== undefined) return;
  throw new GantryError("not-found", `no image ${name}`, { hint: "'gantry image ls' lists the images." });
}

/** @throws GantryError not-found, conflict when the container does not run */
function running(
  { supervisor, driverFor }: BackendParts,
  namespace: string,
  name: string,
  container: string | undefined,
): { readonly driver: SandboxDriver; readonly sandboxId: string; readonly containerId: string } {
  const state = requirePod(supervisor, namespace, name);
  const target = requireContainer(state, container);
  const containerId = runningId(target);
  if (state.sandbox === undefined || containerId === undefined) {
    const message = `container ${target.name} of pod ${namespace}/${name} does not run (${stateText(target)})`;
    throw new GantryError("conflict", message, { hint: `See why: gantry describe ${name} -n ${namespace}` });
  }
  return { driver: driverFor(state.desired.runtimeClass), sandboxId: state.sandbox.id, containerId };
}

/** Also of one whose app runs while its postStart hook does. */
function runningId({ state }: ContainerState): string | undefined {
  return state.type === "terminated" ? undefined : state.containerId;
}

function findPod(supervisor: PodSupervisor, namespace: string, name: string): PodState | undefined {
  const key = `${namespace}/${name}`;
  const states = supervisor.list().filter(({ desired }) => desired.key === key);
  // While one is going away its successor waits, so there is at most one of each kind.
  return states.find(({ deletionDeadline }) => deletionDeadline === undefined) ?? states[0];
}

/** Nothing of it runs again: what there is to restart is the pod itself. */
function givenUp({ desired: { key, pod, origin } }: PodState, reason: string): GantryError {
  const owner = controllerOf(pod);
  const file = origin.replace(/:\d+$/, "");
  return new GantryError(
    "conflict",
    `pod ${key} has ended for good (${reason}): its containers are not started again`,
    {
      hint:
        owner === undefined
          ? `To begin anew, move its manifest ${file} out of the folder, wait until the pod is gone (gantry wait ${key} --for deleted), and put the manifest back.`
          : `Its ${owner.kind} ${owner.name} makes another where one is wanted: gantry delete pod/${key} takes this one away.`,
    },
  );
}

function requirePod(supervisor: PodSupervisor, namespace: string, name: string): PodState {
  const state = findPod(supervisor, namespace, name);
  if (state !== undefined) return state;
  throw new GantryError("not-found", `pods "${name}" not found in namespace ${namespace}`, {
    hint: "List them all: gantry status",
  });
}

/** The container of that name; without a name the first of the pod's main ones. */
function requireContainer(state: PodState, name: string | undefined): ContainerState {
  const found = state.containers.find((one) => (name === undefined ? one.kind === "main" : one.name === name));
  if (found !== undefined) return found;
  const names = state.containers.map((one) => one.name).join(", ");
  throw new GantryError("not-found", `container ${name ?? ""} is not in pod ${state.desired.key}`, {
    hint: `It has: ${names}`,
  });
}

function stateText({ state }: ContainerState): string {
  switch (state.type) {
    case "running":
      return "running";
    case "waiting":
      return `waiting: ${state.reason}`;
    case "terminated":
      return `terminated: ${state.reason}, exit code ${state.exitCode}`;
  }
}

/** The next run of a container needs its image by name again. */
function usersOf({ supervisor, reconciler }: BackendParts, digest: string, name: string | undefined): string[] {
  const isUser = ({ imageDigest, image }: PodState["containers"][number]): boolean =>
    imageDigest === digest && (name === undefined || normalizeName(image) === name);
  const hasVolume = ({ uid, desired }: PodState): boolean => {
    const sandboxes = reconciler.allObserved().get(uid) ?? [];
    if (!sandboxes.some((sandbox) => volumeImagesOf(sandbox.labels).includes(digest))) return false;
    const references = (desired.pod.spec.volumes ?? []).flatMap(({ image }) => image?.reference ?? []);
    return name === undefined || references.some((reference) => normalizeName(reference) === name);
  };
  return supervisor
    .list()
    .filter((pod) => pod.containers.some(isUser) || hasVolume(pod))
    .map(({ desired }) => desired.key);
}

/** The log files of a container are numbered by its runs, and outlive them: the newest is the present or last run. */
function logTarget(
  { paths, supervisor }: BackendParts,
  state: PodState,
  container: string | undefined,
  previous: boolean,
): LogTarget {
  const { name } = requireContainer(state, container);
  const { namespace, name: podName } = state.desired.pod.metadata;
  const directory = join(paths.podLogs, `${namespace}_${podName}_${state.uid}`, name);
  const runs = runNumbers(directory);
  const run = runs.at(previous ? -2 : -1);
  if (run === undefined) {
    const what = previous
      ? `previous terminated container "${name}" in pod "${podName}" not found`
      : `container "${name}" in pod "${podName}" has not started yet`;
    throw new GantryError("not-found", what, { hint: `See why: gantry describe ${podName} -n ${namespace}` });
  }
  const newest = run === runs.at(-1);
  return {
    path: join(directory, `${run}.log`),
    running: () => {
      const now = supervisor.get(state.uid)?.containers.find((one) => one.name === name);
      return newest && now !== undefined && runningId(now) !== undefined && runNumbers(directory).at(-1) === run;
    },
  };
}

/** In order. Rotated files count too: while one is rotated, a run has no other. */
function runNumbers(directory: string): number[] {
  try {
    const names = readdirSync(directory).flatMap((file) => /^(\d+)\.log(\.\d|$)/.exec(file)?.[1] ?? []);
    return [...new Set(names.map(Number))].sort((a, b) => a - b);
  } catch {
    return []; // it never ran
  }
}
