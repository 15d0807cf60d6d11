import type { RequestInfo } from "./request-info.ts";

/** admin may do everything, as root on the socket; view may look at everything but Secrets, and run nothing. */
export type Role = "admin" | "view";

/** Kubernetes' own group of those who may do everything, and its ClusterRole for those who may look. */
export const GROUP_OF_ROLE: Readonly<Record<Role, string>> = { admin: "system:masters", view: "gantry:view" };

/** Who asks. */
export interface Identity {
  readonly name: string;
  readonly role: Role;
}

/** On the unix socket, which only root can open. */
export const ROOT: Identity = { name: "root", role: "admin" };

const READING = new Set(["get", "list", "watch"]);
/** Subresources that run something or open a way in, whatever the method. */
const ENTERING = new Set(["exec", "attach", "portforward", "proxy"]);
/** Groups whose "create" only asks what one may do, or who one is. */
const ASKING = new Set(["authorization.k8s.io", "authentication.k8s.io"]);

/** Whether `role` may do what `info` says. Pure. */
export function mayDo(role: Role, info: Pick<RequestInfo, "verb" | "group" | "resource" | "subresource">): boolean {
  if (role === "admin") return true;
  const { verb, group = "", resource = "", subresource = "" } = info;
  if (ASKING.has(group)) return verb === "create" && resource.startsWith("self");
  // Whoever asks for all kinds asks for Secrets, too.
  if ((group === "" || group === "*") && (resource === "secrets" || resource === "*")) return false;
  // What Prometheus reads there is no way into anything.
  if (resource === "nodes" && /^proxy\/(metrics|stats\/summary)/.test(subresource)) return READING.has(verb);
  return READING.has(verb) && !ENTERING.has(subresource.split("/")[0] ?? "");
}

/** What is forbidden, as Kubernetes words it. */
export function forbiddenMessage(identity: Identity, info: RequestInfo): string {
  const user = `User "${identity.name}" cannot`;
  if (info.resource === undefined) return `forbidden: ${user} ${info.verb} path "${info.path}"`;
  const { group = "", resource, subresource, namespace, name, verb } = info;
  const whole = subresource === undefined ? resource : `${resource}/${subresource}`;
  const what = name === undefined ? whole : `${whole} "${name}"`;
  const where = namespace === undefined ? "" : ` in the namespace "${namespace}"`;
  return `${what} is forbidden: ${user} ${verb} resource "${whole}" in API group "${group}"${where}`;
}
