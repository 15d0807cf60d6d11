import type { FastifyInstance } from "fastify";
import type { PodEvent } from "../../store/contract.ts";
import type { ApiBackend, PodObject, ServedObject } from "../contract.ts";
import type { EventObject } from "../wire.ts";
import { describe, serveDiscovery } from "./discovery.ts";
import { eventObject } from "./event-object.ts";
import { serveMetrics } from "./metrics.ts";
import { servePods } from "./pods.ts";
import { type ApiObject, type Resource, serveResource } from "./resources.ts";
import type { Streams } from "./streaming.ts";
import { WatchCache } from "./watch-cache.ts";

/**
 * Serves core/v1: pods, events, configmaps, secrets, nodes.
 * @param capacity changes kept for watches that lag @returns ends the subscriptions to the backend
 */
export function serveCollections(
  app: FastifyInstance,
  backend: ApiBackend,
  streams: Streams,
  capacity: number,
): () => void {
  const pods = podCache(backend, capacity);
  const events = eventCache(backend, capacity);
  const podResource: Resource<PodObject> = {
    plural: "pods",
    kind: "Pod",
    namespaced: true,
    shortNames: ["po"],
    list: () => backend.pods(),
    cache: pods.cache,
    fields: {
      "status.phase": (pod) => pod.status.phase,
      "spec.nodeName": (pod) => pod.spec.nodeName ?? "",
      "spec.restartPolicy": (pod) => pod.spec.restartPolicy,
    },
  };
  const eventResource: Resource<EventObject> = {
    plural: "events",
    kind: "Event",
    namespaced: true,
    shortNames: ["ev"],
    list: events.list,
    cache: events.cache,
    fields: {
      "involvedObject.kind": (event) => event.involvedObject.kind,
      "involvedObject.namespace": (event) => event.involvedObject.namespace ?? "",
      "involvedObject.name": (event) => event.involvedObject.name,
      "involvedObject.uid": (event) => event.involvedObject.uid ?? "",
      reason: (event) => event.reason,
      type: (event) => event.type,
    },
  };
  const configMaps = plain("configmaps", "ConfigMap", ["cm"], true, () => backend.configMaps());
  const claims = plain("persistentvolumeclaims", "PersistentVolumeClaim", ["pvc"], true, () => backend.claims());
  const secrets = plain("secrets", "Secret", [], true, () => backend.secrets());
  const nodes = plain("nodes", "Node", ["no"], false, () => [backend.node()]);
  serveResource(app, podResource, streams);
  serveResource(app, eventResource, streams);
  const objects = objectResources(backend, capacity);
  for (const resource of [configMaps, secrets, nodes]) serveResource(app, resource, streams);
  const removeFrom =
    ({ kind }: { readonly kind: string }) =>
    (namespace: string, name: string) =>
      backend.deleteObject(kind, namespace, name);
  serveResource(app, claims, streams, removeFrom(claims));
  for (const resource of objects.resources) serveResource(app, resource, streams, removeFrom(resource));
  servePods(app, backend, podResource, streams);
  const described = [
    describe(podResource),
    describe(eventResource),
    ...[configMaps, secrets, claims, nodes].map(describe),
    ...objects.resources.map(describe),
    ...serveMetrics(app, backend, streams),
  ];
  serveDiscovery(app, backend, described);
  return () => {
    pods.stop();
    events.stop();
    objects.stop();
  };
}

/** Kinds beside pods that have a status and can be watched: group, plural, kind, short name. */
const OBJECT_KINDS = [
  ["apps", "deployments", "Deployment", "deploy"],
  ["apps", "replicasets", "ReplicaSet", "rs"],
  ["apps", "daemonsets", "DaemonSet", "ds"],
  ["apps", "statefulsets", "StatefulSet", "sts"],
  ["apps", "controllerrevisions", "ControllerRevision", ""],
  ["batch", "jobs", "Job", ""],
  ["batch", "cronjobs", "CronJob", "cj"],
  ["", "services", "Service", "svc"],
  ["discovery.k8s.io", "endpointslices", "EndpointSlice", ""],
] as const;

function objectResources(backend: ApiBackend, capacity: number) {
  const present = backend.objects();
  const newest = present.reduce((max, { metadata }) => Math.max(max, Number(metadata.resourceVersion)), 0);
  const last = new Map(present.map((object) => [object.metadata.uid, object]));
  const resources = OBJECT_KINDS.map(
    ([group, plural, kind, short]): Resource<ServedObject> & { readonly cache: WatchCache<ServedObject> } => ({
      group,
      plural,
      kind,
      namespaced: true,
      shortNames: short === "" ? [] : [short],
      list: () => backend.objects().filter((object) => object.kind === kind),
      cache: new WatchCache<ServedObject>(newest, capacity),
      fields: {},
    }),
  );
  const stop = backend.watchObjects(({ type, object }) => {
    const { uid, resourceVersion } = object.metadata;
    const previous = last.get(uid);
    if (type === "DELETED") last.delete(uid);
    else last.set(uid, object);
    resources.find(({ kind }) => kind === object.kind)?.cache.add(type, object, Number(resourceVersion), previous);
  });
  return { resources, stop };
}

function plain(
  plural: string,
  kind: string,
  shortNames: readonly string[],
  namespaced: boolean,
  list: () => readonly ApiObject[],
): Resource<ApiObject> {
  return { plural, kind, namespaced, shortNames, list, fields: {} };
}

function podCache(backend: ApiBackend, capacity: number) {
  const present = backend.pods();
  const newest = present.reduce((max, pod) => Math.max(max, versionOf(pod)), 0);
  const cache = new WatchCache<PodObject>(newest, capacity);
  const last = new Map(present.map((pod) => [pod.metadata.uid, pod]));
  const stop = backend.watchPods(({ type, object }) => {
    const { uid } = object.metadata;
    const previous = last.get(uid);
    if (type === "DELETED") last.delete(uid);
    else last.set(uid, object);
    cache.add(type, object, versionOf(object), previous);
  });
  return { cache, stop };
}

function versionOf(pod: PodObject): number {
  const version = Number(pod.metadata.resourceVersion);
  return Number.isSafeInteger(version) ? version : 0;
}

/**
 * Events have no version of their own: each change gets the time it was seen, or one more than the last. So versions
 * grow over restarts of the daemon too.
 */
function eventCache(backend: ApiBackend, capacity: number) {
  const versions = new Map<number, number>();
  const start = Date.now();
  const asObject = (event: PodEvent): EventObject => eventObject(event, versions.get(event.id) ?? start);
  const cache = new WatchCache<EventObject>(start, capacity);
  const stop = backend.watchEvents((event) => {
    const version = Math.max(cache.version + 1, Date.now());
    versions.delete(event.id);
    versions.set(event.id, version);
    // Old entries only matter to clients that would have to list again anyway.
    const oldest = versions.size > capacity ? versions.keys().next().value : undefined;
    if (oldest !== undefined) versions.delete(oldest);
    const object = asObject(event);
    // An event that happens again only counts up: whoever chose it before chooses it now.
    if (event.count > 1) cache.add("MODIFIED", object, version, object);
    else cache.add("ADDED", object, version, undefined);
  });
  return { cache, stop, list: () => backend.events().map(asObject) };
}
