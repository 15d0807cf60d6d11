import type { FastifyInstance } from "fastify";
import { KUBERNETES } from "../../system/version.ts";
import type { ApiBackend } from "../contract.ts";
import type { VersionInfo } from "../wire.ts";
import { hasStatus } from "./kinds.ts";
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
  const groups = groupsOf(resources);
  route(app, "/apis", { GET: () => ({ kind: "APIGroupList", apiVersion: "v1", groups: groups.map(groupOf) }) });
  for (const group of groups) {
    const { name } = group;
    route(app, `/apis/${name}`, { GET: () => ({ kind: "APIGroup", apiVersion: "v1", ...groupOf(group) }) });
    for (const version of group.versions) {
      const inside = resources.filter((one) => one.group === name && one.version === version).flatMap(apiResources);
      const all = [...inside, ...reviewsOf(name)];
      route(app, `/apis/${name}/${version}`, { GET: () => resourceList(groupVersion({ group: name, version }), all) });
    }
  }
  route(app, "/apis/gantry.dev", { GET: () => ({ kind: "APIGroup", apiVersion: "v1", ...GROUP }) });
  const core = resources.filter(({ group = "" }) => group === "").flatMap(apiResources);
  route(app, "/api/v1", { GET: () => resourceList("v1", core) });
  // Gantry's own paths are no collections: in the list of groups, an empty one would be an error to kubectl.
  route(app, "/apis/gantry.dev/v1", { GET: () => resourceList("gantry.dev/v1", []) });
}

const VERSION = { groupVersion: "gantry.dev/v1", version: "v1" } as const;
const GROUP = { name: "gantry.dev", versions: [VERSION], preferredVersion: VERSION } as const;

interface Group {
  readonly name: string;
  /** The one that is asked for first, first. */
  readonly versions: readonly string[];
}

/** By name. */
function groupsOf(resources: readonly ResourceDescription[]): Group[] {
  const all = [...resources.map(({ group = "", version = "v1" }) => [group, version] as const), ...REVIEW_GROUPS];
  const groups = Map.groupBy(
    all.filter(([group]) => group !== ""),
    ([group]) => group,
  );
  return [...groups]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, found]) => ({ name, versions: [...new Set(found.map(([, version]) => version))] }));
}

/** What is only asked, and is no collection. */
export const REVIEWS = [
  ["authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"],
  ["authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"],
  ["authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"],
] as const;

const REVIEW_GROUPS = REVIEWS.map(([group]) => [group, "v1"] as const);

function reviewsOf(group: string): object[] {
  return REVIEWS.filter(([of]) => of === group).map(([, name, kind]) => ({
    ...{ name, singularName: kind.toLowerCase(), namespaced: false, kind, verbs: ["create"] },
  }));
}

function groupOf({ name, versions }: Group): object {
  const all = versions.map((version) => ({ groupVersion: groupVersion({ group: name, version }), version }));
  return { name, versions: all, preferredVersion: all[0] };
}

function versionInfo(gantryVersion: string): VersionInfo {
  const { major, minor } = KUBERNETES;
  const gitVersion = `v${major}.${minor}.0+gantry-${gantryVersion}`;
  return {
    major,
    minor,
    gitVersion,
    // Of the build; a client that prints a cluster's shows them.
    ...{ gitCommit: "", gitTreeState: "clean", buildDate: "", goVersion: "", compiler: "" },
    gantryVersion,
    platform: `linux/${process.arch === "x64" ? "amd64" : process.arch}`,
  };
}

function resourceList(groupVersion: string, resources: readonly object[]): object {
  return { kind: "APIResourceList", apiVersion: "v1", groupVersion, resources };
}

/** What can be done with a kind: list and watch it, change it too, or all that can be done with pods. */
type Access = "list" | "read" | "write" | "pod";

export interface ResourceDescription extends ResourceNames {
  readonly access: Access;
  readonly scalable: boolean;
  readonly categories: readonly string[];
}

export function describe<T extends ApiObject>(
  resource: Resource<T>,
  access: Access,
  more: { readonly scalable?: boolean; readonly categories?: readonly string[] } = {},
): ResourceDescription {
  const { plural, kind, namespaced, shortNames, group = "", version = "v1" } = resource;
  const { scalable = false, categories = access === "pod" ? ["all"] : [] } = more;
  return { group, version, plural, kind, namespaced, shortNames, access, scalable, categories };
}

const READ = ["get", "list"] as const;
const WRITE = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"] as const;

function verbsOf({ access, kind }: ResourceDescription): readonly string[] {
  if (access === "list") return READ;
  if (access === "read") return [...READ, "watch"];
  return kind === "Namespace" ? WRITE.filter((verb) => verb !== "deletecollection") : WRITE;
}

function apiResources(description: ResourceDescription): object[] {
  const { plural, kind, namespaced, shortNames, access, scalable, categories } = description;
  const verbs = verbsOf(description);
  const singularName = kind.toLowerCase();
  const whole = {
    ...{ name: plural, singularName, namespaced, kind, verbs, shortNames },
    ...(categories.length > 0 && { categories }),
  };
  const part = (name: string, partVerbs: readonly string[], partKind = kind, more = {}) => ({
    ...{ name: `${plural}/${name}`, singularName: "", namespaced, kind: partKind, verbs: partVerbs, ...more },
  });
  const parts = hasStatus(kind) ? [part("status", ["get"])] : [];
  if (scalable) parts.push(part("scale", ["get", "patch", "update"], "Scale", { group: "autoscaling", version: "v1" }));
  if (access !== "pod") return [whole, ...parts];
  return [
    whole,
    ...parts,
    part("log", ["get"]),
    part("exec", ["create", "get"], "PodExecOptions"),
    part("attach", ["create", "get"], "PodAttachOptions"),
    part("portforward", ["create", "get"], "PodPortForwardOptions"),
    part("eviction", ["create"], "Eviction", { group: "policy", version: "v1" }),
  ];
}
