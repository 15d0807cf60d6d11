import type { FastifyInstance } from "fastify";
import { KUBERNETES } from "../../system/version.ts";
import type { ApiBackend } from "../contract.ts";
import type { VersionInfo } from "../wire.ts";
import { type ApiObject, groupVersion, type Resource, type ResourceNames } from "./resources.ts";
import { route } from "./routing.ts";

/** What kubectl asks for before it asks for anything: versions, groups, resources. */
export function serveDiscovery(
  app: FastifyInstance,
  backend: ApiBackend,
  resources: readonly ResourceDescription[],
): void {
  route(app, "/version", { GET: () => versionInfo(backend.info().version) });
  route(app, "/api", { GET: () => ({ kind: "APIVersions", versions: ["v1"], serverAddressByClientCIDRs: [] }) });
  route(app, "/apis", {
    GET: () => ({ kind: "APIGroupList", apiVersion: "v1", groups: [GROUP, ...NAMED.map(groupOf)] }),
  });
  for (const named of NAMED) {
    const { group, version } = named;
    route(app, `/apis/${group}`, { GET: () => ({ kind: "APIGroup", apiVersion: "v1", ...groupOf(named) }) });
    const inside = resources.filter((resource) => resource.group === group).flatMap(apiResources);
    route(app, `/apis/${group}/${version}`, { GET: () => resourceList(groupVersion(named), inside) });
  }
  route(app, "/apis/gantry.dev", { GET: () => ({ kind: "APIGroup", apiVersion: "v1", ...GROUP }) });
  const core = resources.filter(({ group = "" }) => group === "").flatMap(apiResources);
  route(app, "/api/v1", { GET: () => resourceList("v1", core) });
  // Gantry's own paths are no collections of objects, so kubectl has nothing to list there.
  route(app, "/apis/gantry.dev/v1", { GET: () => resourceList("gantry.dev/v1", []) });
}

const VERSION = { groupVersion: "gantry.dev/v1", version: "v1" } as const;
const GROUP = { name: "gantry.dev", versions: [VERSION], preferredVersion: VERSION } as const;

/** The groups of objects that keep pods, and of what pods use and are reached by. */
const NAMED = [
  { group: "apps", version: "v1" },
  { group: "batch", version: "v1" },
  { group: "discovery.k8s.io", version: "v1" },
  { group: "metrics.k8s.io", version: "v1beta1" },
] as const;

function groupOf(named: (typeof NAMED)[number]): object {
  const version = { groupVersion: groupVersion(named), version: named.version };
  return { name: named.group, versions: [version], preferredVersion: version };
}

function versionInfo(gantryVersion: string): VersionInfo {
  const { major, minor } = KUBERNETES;
  const gitVersion = `v${major}.${minor}.0+gantry-${gantryVersion}`;
  return {
    major,
    minor,
    gitVersion,
    gantryVersion,
    platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}

function resourceList(groupVersion: string, resources: readonly object[]): object {
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources };
}

export interface ResourceDescription extends ResourceNames {
  readonly watchable: boolean;
}

export function describe<T extends ApiObject>(resource: Resource<T>): ResourceDescription {
  const { plural, kind, namespaced, shortNames, cache, group = "" } = resource;
  return { group, plural, kind, namespaced, shortNames, watchable: cache !== undefined };
}

function apiResources({ plural, kind, namespaced, shortNames, watchable }: ResourceDescription): object[] {
  const watch = watchable ? ["watch"] : [];
  const verbs = ["get", "list", ...watch, ...(kind === "Pod" || (watchable && kind !== "Event") ? ["delete"] : [])];
  const whole = { name: plural, singularName: kind.toLowerCase(), namespaced, kind, verbs, shortNames };
  if (kind !== "Pod") return [whole];
  return [
    whole,
    { name: "pods/log", singularName: "", namespaced, kind, verbs: ["get"] },
    { name: "pods/exec", singularName: "", namespaced, kind: "PodExecOptions", verbs: ["create", "get"] },
  ];
}
