import { stat } from "node:fs/promises";
import type { ApiClient } from "../api/client.ts";
import type { PodObject, ServedObject } from "../api/contract.ts";
import { loadConfig } from "../config/index.ts";
import { hashedPod, keyOf, withholdBroken } from "../desired.ts";
import { diff, type KnownPod } from "../diff.ts";
import type { LoadedObject, Pod, Problem } from "../manifest/index.ts";
import { type PlanStep, plan } from "../plan.ts";
import { isGantryError } from "../system/errors.ts";
import type { Context } from "./context.ts";
import { isAbsentDaemon } from "./images.ts";
import { desiredOf, type Handlers, type Manifests, readManifests } from "./manifests.ts";
import { listObjects } from "./objects.ts";
import { observeHost, podsOf } from "./observe.ts";
import { runtimeOf } from "./output/pod-table.ts";
import { keyOfPod } from "./pods.ts";

export interface Preview {
  readonly steps: readonly PlanStep[];
  readonly problems: readonly Problem[];
  /** What could not be looked at, and what that means for the steps. */
  readonly unseen: readonly string[];
}

/** The plan for manifests that the daemon does not have: read here, and compared with what runs. */
export async function previewPlan(context: Context, path: string, keyFiles: readonly string[] = []): Promise<Preview> {
  const { runtime, secrets } = await loadConfig({ paths: context.paths });
  const { handlers } = runtime;
  const keys = keyFiles.length > 0 ? keyFiles : secrets.age.keys;
  const manifests = await readManifests([path], handlers, keys).catch((error: unknown) => {
    // A folder without a manifest asks for nothing; that is a state like any other.
    if (isGantryError(error, "not-found") && path === context.paths.manifests) return NO_MANIFESTS;
    throw error;
  });
  const desired = withholdBroken(desiredOf(manifests.objects.map(comparable), handlers), manifests.problems);
  const { observed, unseen } = await observe(context, manifests, handlers);
  const isFolder =
    path !== "-" &&
    (await stat(path).then(
      (found) => found.isDirectory(),
      () => true,
    ));
  const empty = manifests === NO_MANIFESTS ? [`${path} holds no manifest, or is not there`] : [];
  const steps = plan(diff(desired, observed, { keepUnwanted: !isFolder }));
  return { steps, problems: manifests.problems, unseen: [...empty, ...unseen] };
}

const NO_MANIFESTS: Manifests = { files: 0, objects: [], desired: desiredOf([]), problems: [] };

async function observe(
  context: Context,
  manifests: Manifests,
  handlers: Handlers,
): Promise<{ observed: readonly KnownPod[]; unseen: readonly string[] }> {
  try {
    const { items } = await (await context.client()).listPods();
    // Those of a Deployment, Job … are for their controllers to decide about, as long as these are there.
    const owners = new Set(manifests.objects.map(({ object }) => `${object.kind} ${keyOf(object)}`));
    const { written, unseen } = await withoutMade(await context.client(), items, owners);
    return { observed: knownPods(written, manifests, handlers), unseen };
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    const { sandboxes, unseen } = await observeHost(context.paths);
    return { observed: podsOf(sandboxes).filter((pod) => !isMadeBy(pod, manifests)), unseen };
  }
}

/** Without a daemon only the name tells that a controller made a pod: nothing is said about those. */
function isMadeBy({ key }: KnownPod, { objects, desired }: Manifests): boolean {
  if (desired.pods.has(key)) return false;
  return objects.some(({ object }) => WORKLOAD.test(`${object.kind} `) && key.startsWith(`${keyOf(object)}-`));
}

async function withoutMade(
  client: ApiClient,
  pods: readonly PodObject[],
  owners: ReadonlySet<string>,
): Promise<{ written: readonly PodObject[]; unseen: readonly string[] }> {
  const kept = [...owners].filter((owner) => WORKLOAD.test(owner));
  const unseen = kept.map((owner) => `${owner}: its controller decides about its pods when it sees a change`);
  if (pods.every(({ metadata }) => metadata.ownerReferences === undefined)) return { written: pods, unseen };
  const all = await listObjects(client, undefined);
  const byUid = new Map(all.map((object) => [object.metadata.uid, object]));
  const rootOf = ({ metadata }: Pick<ServedObject, "metadata"> | PodObject): ServedObject | undefined => {
    const owner = byUid.get(metadata.ownerReferences?.[0]?.uid ?? "");
    return owner === undefined ? undefined : (rootOf(owner) ?? owner);
  };
  const written = pods.filter((pod) => {
    const root = rootOf(pod);
    return root === undefined || !owners.has(`${root.kind} ${root.metadata.namespace}/${root.metadata.name}`);
  });
  return { written, unseen };
}

const WORKLOAD = /^(Deployment|ReplicaSet|DaemonSet|StatefulSet|Job|CronJob) /;

/** What the daemon runs, in the form that the diff takes. */
function knownPods(pods: readonly PodObject[], { objects }: Manifests, handlers: Handlers): KnownPod[] {
  const places = new Map(objects.map(({ object, place }) => [keyOf(object), place]));
  const classes = objects.filter(({ object }) => object.kind === "RuntimeClass");
  return pods.map((pod) => {
    const key = keyOfPod(pod);
    // Where it is written is not compared: the file given here need not be the one in the folder.
    const place = places.get(key) ?? { file: "", line: 1, column: 1 };
    const written = asWritten(pod);
    const loaded = comparable({ object: written, place, places: new Map(), warnings: [], stale: false });
    const facts = { origin: "", runtimeClass: runtimeOf(pod), runtimeHandler: undefined, warnings: [] };
    // A runtime class that only the daemon's folder has is known by its name alone.
    const managed = desiredOf([...classes, loaded], handlers).pods.get(key) ?? hashedPod(written, facts);
    const deleting = pod.metadata.deletionTimestamp !== undefined;
    return { uid: pod.metadata.uid, key, managed, deleting, sandboxHash: managed.sandboxHash };
  });
}

/** The manifest that a served pod came from: without what the daemon added. */
function asWritten({ apiVersion, kind, metadata, spec }: PodObject): Pod {
  const {
    uid: _uid,
    resourceVersion: _version,
    creationTimestamp: _created,
    deletionTimestamp: _deleted,
    ...rest
  } = metadata;
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => !ADDED.has(name));
  const { annotations: _all, ...written } = rest;
  const kept = annotations.length === 0 ? written : { ...written, annotations: Object.fromEntries(annotations) };
  return { apiVersion, kind, metadata: kept, spec };
}

const ADDED: ReadonlySet<string> = new Set([
  "gantry.dev/manifest",
  "gantry.dev/runtime-class",
  "gantry.dev/warnings",
  "gantry.dev/sandbox",
  "gantry.dev/signed-by",
  "gantry.dev/auto-update-status",
]);

/** Without the node's name, which the daemon fills in and which changes nothing; without empty annotations. */
function comparable(loaded: LoadedObject): LoadedObject {
  const { object } = loaded;
  if (object.kind !== "Pod") return loaded;
  const { nodeName: _node, ...spec } = object.spec;
  const { annotations, ...metadata } = object.metadata;
  const kept =
    annotations === undefined || Object.keys(annotations).length === 0 ? metadata : { ...metadata, annotations };
  return { ...loaded, object: { ...object, metadata: kept, spec } };
}
