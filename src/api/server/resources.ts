import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import type { ObjectList } from "../wire.ts";
import { type FieldGetters, matchesFields, parseFieldSelector } from "./field-selector.ts";
import { matchesLabels, parseLabelSelector } from "./label-selector.ts";
import type { Query } from "./query.ts";
import { type Call, route } from "./routing.ts";
import type { Streams } from "./streaming.ts";
import type { WatchCache } from "./watch-cache.ts";
import { expired, watchLine, watchStream } from "./watch-stream.ts";

/** What all served objects have. */
export interface ApiObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly labels?: Readonly<Record<string, string>> | undefined;
  };
}

export interface ResourceNames {
  /** "apps"; "" for the core. */
  readonly group?: string;
  /** Default: "v1". */
  readonly version?: string;
  /** "pods" */
  readonly plural: string;
  /** "Pod" */
  readonly kind: string;
  readonly namespaced: boolean;
  readonly shortNames: readonly string[];
}

/** A collection of the API. */
export interface Resource<T extends ApiObject> extends ResourceNames {
  list(): readonly T[];
  /** Absent: it can't be watched. */
  readonly cache?: WatchCache<T>;
  /** Besides metadata.name and metadata.namespace. */
  readonly fields: FieldGetters<T>;
}

/** Serves list, watch and get of a collection. */
export function serveResource<T extends ApiObject>(
  app: FastifyInstance,
  resource: Resource<T>,
  streams: Streams,
  remove?: (namespace: string, name: string) => Promise<void>,
): void {
  const { plural, namespaced } = resource;
  const base = basePath(resource);
  const collection = (call: Call): unknown => listOrWatch(call, resource, streams);
  route(app, `${base}/${plural}`, { GET: collection });
  if (namespaced) route(app, `${base}/namespaces/:namespace/${plural}`, { GET: collection });
  // Pods have more verbs than these: src/api/server/pods.ts.
  if (plural === "pods") return;
  const path = namespaced ? `${base}/namespaces/:namespace/${plural}/:name` : `${base}/${plural}/:name`;
  const get = (call: Call): T => find(resource, namespaced ? call.param("namespace") : undefined, call.param("name"));
  if (remove === undefined) route(app, path, { GET: get });
  else {
    route(app, path, {
      GET: get,
      DELETE: async (call) => {
        const { name } = get(call).metadata;
        if (call.query.all("dryRun").length > 0)
          throw new GantryError("unsupported", "dryRun is not supported", { hint: "Use 'gantry plan'." });
        await remove(call.param("namespace"), name);
        return { apiVersion: "v1", kind: "Status", metadata: {}, status: "Success", details: { name, kind: plural } };
      },
    });
  }
}

/** "v1", "apps/v1" */
export function groupVersion({ group = "", version = "v1" }: Pick<ResourceNames, "group" | "version">): string {
  return group === "" ? version : `${group}/${version}`;
}

export function basePath(names: Pick<ResourceNames, "group" | "version">): string {
  return names.group === undefined || names.group === "" ? "/api/v1" : `/apis/${groupVersion(names)}`;
}

/** @throws GantryError not-found */
export function find<T extends ApiObject>(resource: Resource<T>, namespace: string | undefined, name: string): T {
  for (const object of resource.list()) {
    const { metadata } = object;
    if (metadata.name === name && (namespace === undefined || metadata.namespace === namespace)) return object;
  }
  const where = namespace === undefined ? name : `${namespace}/${name}`;
  throw new GantryError("not-found", `there is no ${resource.kind} ${where}`, {
    details: { name, kind: resource.plural },
    hint:
      resource.kind === "Pod" ? "See 'gantry status' for what there is." : `There are: ${someNames(resource.list())}.`,
  });
}

function someNames(objects: readonly ApiObject[]): string {
  const names = objects.map(({ metadata }) => [metadata.namespace, metadata.name].filter(Boolean).join("/"));
  return names.length === 0 ? "none" : names.slice(0, 5).join(", ") + (names.length > 5 ? " …" : "");
}

/** Answers a request for a collection. */
export function listOrWatch<T extends ApiObject>(
  call: Call,
  resource: Resource<T>,
  streams: Streams,
): ObjectList<T> | undefined {
  const { query } = call;
  const namespace =
    call.request.url.includes("/namespaces/") && resource.namespaced ? call.param("namespace") : undefined;
  const matches = selector(query, resource, namespace);
  if (query.flag("watch")) {
    watch(call, resource, matches, streams);
    return undefined;
  }
  return {
    kind: `${resource.kind}List`,
    apiVersion: groupVersion(resource),
    metadata: { resourceVersion: String(resource.cache?.version ?? 0) },
    items: resource.list().filter(matches),
  };
}

function selector<T extends ApiObject>(query: Query, resource: Resource<T>, namespace: string | undefined) {
  const getters: FieldGetters<T> = {
    "metadata.name": ({ metadata }) => metadata.name,
    "metadata.namespace": ({ metadata }) => metadata.namespace ?? "",
    ...resource.fields,
  };
  const labels = parseLabelSelector(query.text("labelSelector") ?? "");
  const fields = parseFieldSelector(query.text("fieldSelector") ?? "", Object.keys(getters));
  return (object: T): boolean =>
    (namespace === undefined || object.metadata.namespace === namespace) &&
    matchesLabels(labels, object.metadata.labels ?? {}) &&
    matchesFields(fields, getters, object);
}

/** Node's timers can't wait longer than this. ms */
const MAX_TIMER_MS = 2 ** 31 - 1;

function watch<T extends ApiObject>(
  call: Call,
  resource: Resource<T>,
  matches: (object: T) => boolean,
  streams: Streams,
): void {
  const { query } = call;
  const { cache } = resource;
  if (cache === undefined) {
    throw new GantryError("unsupported", `${resource.plural} can't be watched`, {
      hint: "List them again now and then.",
    });
  }
  const version = query.text("resourceVersion") ?? "0";
  const fromList = query.flag("sendInitialEvents");
  const timeoutMs = query.secondsAsMs("timeoutSeconds");
  const everything = version === "0" || fromList;
  if (!/^\d{1,16}$/.test(version)) {
    throw new GantryError("usage", `resourceVersion: '${version}' is not a version`, {
      hint: "Take it from the metadata of a list.",
    });
  }
  const position = everything ? cache.end : cache.positionAfter(Number(version));
  if (position === undefined) throw expired(`too old resource version: ${version} (now at ${cache.version})`);
  const initial = everything ? resource.list().slice() : undefined;
  const bookmark = fromList && query.flag("allowWatchBookmarks") ? endOfList(resource, cache.version) : undefined;
  streams.send(call, "application/json", (signal, cutOff) => {
    const until =
      timeoutMs === undefined
        ? signal
        : AbortSignal.any([signal, AbortSignal.timeout(Math.min(timeoutMs, MAX_TIMER_MS))]);
    return watchStream(cache, { initial, bookmark, position, matches }, until, cutOff);
  });
}

/** Tells a client that asked for it that the list is complete (KEP-3157). */
function endOfList(resource: ResourceNames, version: number): Buffer {
  const annotations = { "k8s.io/initial-events-end": "true" };
  const metadata = { resourceVersion: String(version), annotations };
  return watchLine("BOOKMARK", { kind: resource.kind, apiVersion: groupVersion(resource), metadata });
}
