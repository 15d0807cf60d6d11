import { GantryError } from "../../system/errors.ts";

/** What a request is about, in Kubernetes' terms (k8s.io/apiserver RequestInfo). */
export interface RequestInfo {
  /** get, list, watch, create, update, patch, delete, deletecollection; for other paths the method in small letters. */
  readonly verb: string;
  readonly path: string;
  /** Absent for paths that are no objects: /version, /metrics, /apis. */
  readonly resource?: string;
  readonly group?: string;
  readonly version?: string;
  readonly subresource?: string;
  readonly namespace?: string;
  readonly name?: string;
}

/**
 * What the router would read otherwise than it is read here: it takes `http://host/path` for `/path`, ends a path at
 * '#', and finds an empty parameter in `namespaces//secrets`. What one may do must never be decided of another path than
 * the one that is served.
 */
const OTHER_FORM = /^[^/]|#|^[^?]*\/\//;

/** Reads method and URL of a request. Pure. @throws GantryError usage, for what is no path */
export function requestInfo(method: string, url: string): RequestInfo {
  if (OTHER_FORM.test(url))
    throw new GantryError("usage", "the request has no path of this API", {
      hint: "Send a path that begins with '/', and has no '#' and no '//'.",
    });
  const [path = "", query = ""] = url.split("?", 2);
  const parts = path
    .split("/")
    .filter((part) => part !== "")
    .map(decoded);
  const [root, ...rest] = parts;
  if (root === "api" && rest.length >= 2) return ofResource(method, path, query, "", rest);
  if (root === "apis" && rest.length >= 3) return ofResource(method, path, query, rest[0] ?? "", rest.slice(1));
  return { verb: method === "HEAD" ? "get" : method.toLowerCase(), path };
}

/** @param parts version, and what follows it */
function ofResource(method: string, path: string, query: string, group: string, parts: readonly string[]): RequestInfo {
  const [version = "", first = "", ...others] = parts;
  // "namespaces/x" itself is an object; only with more behind it is it the place of one.
  const inside = first === "namespaces" && others.length >= 2;
  const [resource = "", name, ...sub] = inside ? others.slice(1) : [first, ...others];
  return {
    verb: verbOf(method, name !== undefined, query),
    path,
    group,
    version,
    resource,
    ...(sub.length > 0 && { subresource: sub.join("/") }),
    ...(inside ? { namespace: others[0] ?? "" } : {}),
    ...(name !== undefined && { name }),
  };
}

function verbOf(method: string, named: boolean, query: string): string {
  switch (method) {
    case "GET":
    case "HEAD":
      return isWatch(query) ? "watch" : named ? "get" : "list";
    case "POST":
      return "create";
    case "PUT":
      return "update";
    case "PATCH":
      return "patch";
    case "DELETE":
      return named ? "delete" : "deletecollection";
    default:
      return method.toLowerCase();
  }
}

/** As Query.flag has it: `?watch` alone means true. */
function isWatch(query: string): boolean {
  const value = new URLSearchParams(query).get("watch")?.toLowerCase();
  return value !== undefined && value !== "false" && value !== "0";
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** How long a request lasts: `short` ones are answered at once, `stream` ones for as long as the client likes. */
export type Duration = "short" | "stream";

/** Bodies and answers of any length: archives of images. */
const LONG = /^\/apis\/gantry\.dev\/v1\/(images|imagepulls|imagechecks|imagearchive|garbage)$/;
const FOLLOWING = new Set(["log", "exec", "attach", "portforward"]);

export function durationOf(info: RequestInfo): Duration {
  if (info.verb === "watch" || LONG.test(info.path)) return "stream";
  return FOLLOWING.has(info.subresource ?? "") ? "stream" : "short";
}
