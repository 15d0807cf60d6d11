import type { FastifyInstance } from "fastify";
import { GantryError } from "../../system/errors.ts";
import { at } from "../patch/plain.ts";
import { type FieldGetters, matchesFields, parseFieldSelector } from "./field-selector.ts";
import { type Format, formatOf, META, metadataList, metadataOf, tableOf } from "./format.ts";
import { matchesLabels, parseLabelSelector } from "./label-selector.ts";
import { pageOf } from "./page.ts";
import type { Query } from "./query.ts";
import { type Call, type Handler, route } from "./routing.ts";
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
  /** What is said to whoever would do with it what is not possible. */
  readonly otherwise?: string | undefined;
}

/** A collection of the API. */
export interface Resource<T extends ApiObject> extends ResourceNames {
  list(): readonly T[];
  /** Absent: it can't be watched. */
  readonly cache?: WatchCache<T>;
  /** Besides metadata.name and metadata.namespace. */
  readonly fields: FieldGetters<T>;
}

/** A collection of whatever kind. */
export type AnyResource = Omit<Resource<ApiObject>, "fields">;

export interface Verbs {
  readonly create?: Handler;
  readonly replace?: Handler;
  readonly patch?: Handler;
  readonly remove?: Handler;
  readonly removeAll?: Handler;
}

/** Serves a collection: list, watch and get, and what else can be done with it. */
export function serveResource<T extends ApiObject>(
  app: FastifyInstance,
  resource: Resource<T>,
  streams: Streams,
  verbs: Verbs = {},
): void {
  const { plural, namespaced } = resource;
  const base = basePath(resource);
  const collection = (call: Call): unknown => listOrWatch(call, resource, streams);
  const { create, replace, patch, remove, removeAll } = verbs;
  const all = { GET: collection, ...(removeAll !== undefined && { DELETE: removeAll }) };
  const inside = { ...all, ...(create !== undefined && { POST: create }) };
  const { otherwise } = resource;
  if (namespaced) {
    route(app, `${base}/${plural}`, { GET: collection });
    route(app, `${base}/namespaces/:namespace/${plural}`, inside, { otherwise });
  } else route(app, `${base}/${plural}`, inside, { otherwise });
  const path = namespaced ? `${base}/namespaces/:namespace/${plural}/:name` : `${base}/${plural}/:name`;
  const get = (call: Call): unknown => {
    const object = find(resource, namespaced ? call.param("namespace") : undefined, call.param("name"));
    return inFormat(call, resource, object);
  };
  const whole = {
    GET: get,
    ...(replace !== undefined && { PUT: replace }),
    ...(patch !== undefined && { PATCH: patch }),
    ...(remove !== undefined && { DELETE: remove }),
  };
  route(app, path, whole, { otherwise });
}

/** One object as the client wants to have it. */
export function inFormat<T extends ApiObject>(call: Call, resource: ResourceNames, object: T): unknown {
  const metadata = { resourceVersion: at(object, "metadata", "resourceVersion") ?? "" };
  switch (formatOf(call.request.headers.accept)) {
    case "object":
      return object;
    case "metadata":
      return metadataOf(object);
    case "table":
      return tableOf(resource.kind, [object], metadata, includeOf(call), Date.now());
  }
}

function includeOf({ query }: Call): string {
  return query.text("includeObject") ?? "Metadata";
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
  const found = maybeFind(resource, namespace, name);
  if (found !== undefined) return found;
  const there = `There are: ${someNames(resource.list())}.`;
  throw notFound(resource, name, resource.kind === "Pod" ? "See 'gantry status' for what there is." : there);
}

/** In the words of the API server of Kubernetes. */
export function notFound({ plural, group = "" }: ResourceNames, name: string, hint?: string): GantryError {
  return new GantryError("not-found", `${group === "" ? plural : `${plural}.${group}`} "${name}" not found`, {
    details: { name, kind: plural, group },
    ...(hint !== undefined && { hint }),
  });
}

export function maybeFind<T extends ApiObject>(
  resource: Pick<Resource<T>, "list">,
  namespace: string | undefined,
  name: string,
): T | undefined {
  return resource
    .list()
    .find(({ metadata }) => metadata.name === name && (namespace === undefined || metadata.namespace === namespace));
}

function someNames(objects: readonly ApiObject[]): string {
  const names = objects.map(({ metadata }) => [metadata.namespace, metadata.name].filter(Boolean).join("/"));
  return names.length === 0 ? "none" : names.slice(0, 5).join(", ") + (names.length > 5 ? " …" : "");
}

/** Answers a request for a collection. */
export function listOrWatch<T extends ApiObject>(call: Call, resource: Resource<T>, streams: Streams): unknown {
  const { query } = call;
  const matches = selectionOf(call, resource);
  if (query.flag("watch")) {
    watch(call, resource, matches, streams);
    return undefined;
  }
  const version = String(resource.cache?.version ?? 0);
  refuseOtherVersion(query, version);
  const { items, metadata } = pageOf(resource.list().filter(matches), query, version, (one) => isKept(resource, one));
  switch (formatOf(call.request.headers.accept)) {
    case "object":
      return { kind: `${resource.kind}List`, apiVersion: groupVersion(resource), metadata, items };
    case "metadata":
      return metadataList(items, metadata);
    case "table":
      return tableOf(resource.kind, items, metadata, includeOf(call), Date.now());
  }
}

function isKept<T extends ApiObject>({ cache }: Resource<T>, version: string): boolean {
  return cache === undefined || cache.positionAfter(Number(version)) !== undefined;
}

/** Only what is now can be listed. @throws Expired, or usage */
function refuseOtherVersion(query: Query, version: string): void {
  const asked = query.text("resourceVersion");
  const match = query.text("resourceVersionMatch");
  if (asked !== undefined && !/^\d{1,16}$/.test(asked))
    throw new GantryError("usage", `resourceVersion: '${asked}' is not a version`, { hint: "Take it from a list." });
  if (match !== undefined && match !== "Exact" && match !== "NotOlderThan")
    throw new GantryError("usage", `resourceVersionMatch: '${match}' is neither Exact nor NotOlderThan`);
  if (match === "Exact" && asked !== undefined && asked !== "0" && asked !== version)
    throw expired(`the list of version ${asked} is not kept (now at ${version})`);
}

/** What a request chooses of a collection: by namespace, labels and fields. @throws usage */
export function selectionOf<T extends ApiObject>(call: Call, resource: Resource<T>): (object: T) => boolean {
  const inNamespace = call.request.url.includes("/namespaces/") && resource.namespaced;
  return selector(call.query, resource, inNamespace ? call.param("namespace") : undefined);
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
  // Who wants no list at the beginning, and knows none, wants to hear what happens from now on.
  const everything = fromList || (version === "0" && query.text("sendInitialEvents") === undefined);
  if (!/^\d{1,16}$/.test(version)) {
    throw new GantryError("usage", `resourceVersion: '${version}' is not a version`, {
      hint: "Take it from the metadata of a list.",
    });
  }
  const position = everything || version === "0" ? cache.end : cache.positionAfter(Number(version));
  if (position === undefined) throw expired(`too old resource version: ${version} (now at ${cache.version})`);
  const initial = everything ? resource.list().slice() : undefined;
  const format = formatOf(call.request.headers.accept);
  const include = includeOf(call);
  const lines = {
    form: format === "table" ? `table ${include}` : format,
    render: (object: T): unknown => {
      if (format === "object") return object;
      if (format === "metadata") return metadataOf(object);
      const metadata = { resourceVersion: at(object, "metadata", "resourceVersion") ?? "" };
      return tableOf(resource.kind, [object], metadata, include, Date.now());
    },
  };
  const bookmarks = query.flag("allowWatchBookmarks")
    ? {
        ticker: streams.minutes,
        endOfInitial: fromList,
        line: (at: number, end: boolean) => watchLine("BOOKMARK", bookmarkOf(resource, format, at, end)),
      }
    : undefined;
  const request = { initial, position, matches, bookmarks, timeoutMs, ...lines };
  streams.send(call, "application/json", (signal, cutOff) =>
    watchStream(cache, request, streams.clock, signal, cutOff),
  );
}

/**
 * An object with nothing but a version: all that has happened up to it has been sent.
 * @param endOfInitial the list at the beginning is complete (KEP-3157)
 */
function bookmarkOf(resource: ResourceNames, format: Format, version: number, endOfInitial: boolean): object {
  const annotations = endOfInitial ? { annotations: { "k8s.io/initial-events-end": "true" } } : {};
  const metadata = { resourceVersion: String(version), creationTimestamp: null, ...annotations };
  const names = { kind: resource.kind, apiVersion: groupVersion(resource) };
  switch (format) {
    case "object":
      return { ...names, metadata };
    case "metadata":
      return { kind: "PartialObjectMetadata", apiVersion: META, metadata };
    case "table":
      return tableOf(resource.kind, [], metadata, "None", 0);
  }
}
