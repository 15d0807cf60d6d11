import type { FastifyInstance } from "fastify";
import { isInert } from "../../manifest/index.ts";
import type { PodEvent } from "../../store/contract.ts";
import type { ApiBackend, PodObject, ServedObject } from "../contract.ts";
import { inVersion } from "../versions.ts";
import type { EventObject } from "../wire.ts";
import { describe, serveDiscovery } from "./discovery.ts";
import { eventObject, inNewForm } from "./event-object.ts";
import { SERVED_KINDS } from "./kinds.ts";
import { serveMetrics } from "./metrics.ts";
import { serveOpenApi } from "./openapi.ts";
import { servePods } from "./pods.ts";
import { removalsOf } from "./remove.ts";
import { find, groupVersion, inFormat, type Resource, serveResource } from "./resources.ts";
import { serveReviews } from "./reviews.ts";
import type { Streams } from "./streaming.ts";
import { serveStatus, serveSubresources } from "./subresources.ts";
import { WatchCache } from "./watch-cache.ts";
import { writesOf } from "./write.ts";

/**
 * Serves every collection, with discovery of them.
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
      "spec.schedulerName": () => "default-scheduler",
      "spec.serviceAccountName": (pod) => pod.spec.serviceAccountName ?? "",
      "spec.hostNetwork": (pod) => String(pod.spec.hostNetwork ?? false),
      "status.podIP": (pod) => pod.status.podIP ?? "",
    },
  };
  const eventResource: Resource<EventObject> = {
    plural: "events",
    kind: "Event",
    namespaced: true,
    shortNames: ["ev"],
    otherwise: "events can't be written or deleted: Gantry keeps the newest by itself",
    list: events.list,
    cache: events.cache,
    fields: {
      "involvedObject.kind": (event) => event.involvedObject.kind,
      "involvedObject.namespace": (event) => event.involvedObject.namespace ?? "",
      "involvedObject.name": (event) => event.involvedObject.name,
      "involvedObject.uid": (event) => event.involvedObject.uid ?? "",
      "involvedObject.apiVersion": (event) => event.involvedObject.apiVersion,
      "involvedObject.fieldPath": () => "",
      "involvedObject.resourceVersion": () => "",
      reportingComponent: (event) => event.reportingComponent,
      source: (event) => event.source.component,
      reason: (event) => event.reason,
      type: (event) => event.type,
    },
  };
  const objects = objectResources(backend, capacity);
  const podWrites = writesOf(backend, podResource);
  const podRemovals = removalsOf(podResource, (namespace, name, graceMs) =>
    backend.deletePod(namespace, name, graceMs),
  );
  serveResource(app, podResource, streams, { ...podWrites, ...podRemovals });
  serveStatus(app, "/api/v1/namespaces/:namespace/pods/:name", "Pod", (call) =>
    inFormat(call, podResource, find(podResource, call.param("namespace"), call.param("name"))),
  );
  const newEvents = { ...eventResource, group: "events.k8s.io" };
  serveResource(app, eventResource, streams);
  serveResource(app, inNewForm(newEvents), streams);
  for (const { served, resource } of objects.resources) {
    const { kind, writable, namespaced } = served;
    const writes = writable ? writesOf(backend, resource) : undefined;
    const removals = removalsOf(resource, (namespace, name) => backend.deleteObject(kind, namespace, name));
    const removable = writable || kind === "ControllerRevision";
    serveResource(app, resource, streams, { ...writes, ...(removable && removals) });
    serveSubresources(app, served, resource, namespaced ? writes : undefined);
  }
  servePods(app, backend, podResource, streams);
  const described = [
    describe(podResource, "pod"),
    describe(eventResource, "read"),
    describe({ ...newEvents }, "read"),
    ...objects.resources.map(({ served, resource }) => describe(resource, served.writable ? "write" : "read", served)),
    ...serveMetrics(app, backend, streams),
  ];
  serveReviews(
    app,
    described.map(({ group = "", plural }) => ({ group, plural })),
  );
  serveDiscovery(app, backend, described);
  serveOpenApi(app, described);
  return () => {
    pods.stop();
    events.stop();
    objects.stop();
  };
}

function objectResources(backend: ApiBackend, capacity: number) {
  const present = backend.objects();
  const newest = present.reduce((max, { metadata }) => Math.max(max, Number(metadata.resourceVersion)), 0);
  const last = new Map(present.map((object) => [object.metadata.uid, object]));
  const resources = SERVED_KINDS.map((served) => {
    const { group, version, plural, kind, namespaced, shortNames, otherwise, fields } = served;
    const cache = new WatchCache<ServedObject>(newest, capacity);
    const inItsVersion = versioned(groupVersion(served));
    const list = () => backend.objects().flatMap((object) => (object.kind === kind ? inItsVersion(object) : []));
    const names = { group, version, plural, kind, namespaced, shortNames, otherwise };
    return { served, inItsVersion, resource: { ...names, fields, cache, list } };
  });
  const ofKind = Map.groupBy(resources, ({ served }) => served.kind);
  const stop = backend.watchObjects(({ type, object }) => {
    const { uid, resourceVersion } = object.metadata;
    const previous = last.get(uid);
    if (type === "DELETED") last.delete(uid);
    else last.set(uid, object);
    for (const { resource, inItsVersion } of ofKind.get(object.kind) ?? []) {
      const before = previous === undefined ? undefined : inItsVersion(previous);
      resource.cache.add(type, inItsVersion(object), Number(resourceVersion), before);
    }
  });
  return { resources, stop };
}

/** Of kinds with several versions: an object as this one has it, which is the same one each time. */
function versioned(apiVersion: string): (object: ServedObject) => ServedObject {
  const known = new WeakMap<ServedObject, ServedObject>();
  return (object) => {
    if (object.apiVersion === apiVersion || !isInert(object.kind)) return object;
    const found = known.get(object) ?? inVersion({ ...object }, apiVersion);
    known.set(object, found);
    return found;
  };
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
  const asObject = (event: PodEvent, objects: readonly ServedObject[]): EventObject => {
    const uidOf = (key: string) => objects.find((object) => identityOf(object) === key)?.metadata.uid;
    return eventObject(event, versions.get(event.id) ?? start, uidOf);
  };
  const cache = new WatchCache<EventObject>(start, capacity);
  const stop = backend.watchEvents((event) => {
    const version = Math.max(cache.version + 1, Date.now());
    versions.delete(event.id);
    versions.set(event.id, version);
    // Old entries only matter to clients that would have to list again anyway.
    const oldest = versions.size > capacity ? versions.keys().next().value : undefined;
    if (oldest !== undefined) versions.delete(oldest);
    const object = asObject(event, backend.objects());
    // An event that happens again only counts up: whoever chose it before chooses it now.
    if (event.count > 1) cache.add("MODIFIED", object, version, object);
    else cache.add("ADDED", object, version, undefined);
  });
  const list = () => {
    const objects = backend.objects();
    return backend.events().map((event) => asObject(event, objects));
  };
  return { cache, stop, list };
}

/** "Deployment default/web" */
function identityOf({ kind, metadata: { namespace, name } }: ServedObject): string {
  return `${kind} ${namespace ?? "default"}/${name}`;
}
