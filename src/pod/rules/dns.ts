/** resolv.conf and host name of a pod. */
import type { Pod } from "../../manifest/index.ts";
import type { DnsConfig } from "../../sandbox/driver.ts";
import { GantryError } from "../../system/errors.ts";

export interface Resolv {
  readonly nameservers: readonly string[];
  readonly searches: readonly string[];
  readonly options: readonly string[];
}

/** See resolv.conf(5): the last `search` or `domain` counts. */
export function parseResolvConf(text: string): Resolv {
  const nameservers: string[] = [];
  const options: string[] = [];
  let searches: string[] = [];
  for (const line of text.split("\n")) {
    const [keyword, ...words] = line
      .replace(/[#;].*$/, "")
      .trim()
      .split(/\s+/);
    if (keyword === "nameserver") nameservers.push(...words.slice(0, 1));
    else if (keyword === "search" || keyword === "domain") searches = words;
    else if (keyword === "options") options.push(...words);
  }
  return { nameservers, searches, options };
}

/** The domain of names in the cluster, and the server that knows them; without one they can't be resolved. */
export interface ClusterNames {
  readonly domain: string;
  readonly server: string | undefined;
}

export const NO_CLUSTER: ClusterNames = { domain: "cluster.local", server: undefined };

/** resolv.conf(5) allows three servers; the others as the API server limits them. */
const MOST_NAMESERVERS = 3;
const MOST_SEARCHES = 32;
const MOST_SEARCH_CHARACTERS = 2048;

/** Whose names a pod resolves (k8s.io/kubernetes/pkg/kubelet/network/dns, getPodDNSType). */
function policyOf({ spec }: Pod, server: string | undefined): "cluster" | "host" | "none" {
  if (spec.dnsPolicy === "None") return "none";
  if (spec.dnsPolicy === "Default" || server === undefined) return "host";
  return spec.dnsPolicy === "ClusterFirst" && spec.hostNetwork === true ? "host" : "cluster";
}

/** True when the host's own resolv.conf must be read for `dnsOf`. */
export function needsHostResolv(pod: Pod, { server }: ClusterNames = NO_CLUSTER): boolean {
  const policy = policyOf(pod, server);
  return policy === "cluster" || (policy === "host" && pod.spec.dnsConfig !== undefined);
}

/**
 * ClusterFirst asks the cluster's server, with its domains before the host's; without a cluster's server it acts as
 * Default: the host's resolv.conf. dnsConfig is added to either.
 */
export function dnsOf(pod: Pod, host: Resolv, { server, domain }: ClusterNames = NO_CLUSTER): DnsConfig {
  const { dnsConfig } = pod.spec;
  const policy = policyOf(pod, server);
  if (policy === "host" && dnsConfig === undefined) return { policy: "host" };
  const base = baseOf(policy, host, server, [`${pod.metadata.namespace}.svc.${domain}`, `svc.${domain}`, domain]);
  const own = (dnsConfig?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
  const overridden = new Set((dnsConfig?.options ?? []).map(({ name }) => name));
  const unique = (list: readonly string[]): string[] => [...new Set(list)];
  return {
    policy: "custom",
    nameservers: unique([...base.nameservers, ...(dnsConfig?.nameservers ?? [])]).slice(0, MOST_NAMESERVERS),
    searches: fitting(unique([...base.searches, ...(dnsConfig?.searches ?? [])])),
    options: [...base.options.filter((option) => !overridden.has(option.split(":")[0] ?? option)), ...own],
  };
}

function baseOf(
  policy: "cluster" | "host" | "none",
  host: Resolv,
  server: string | undefined,
  domains: readonly string[],
): Resolv {
  switch (policy) {
    case "host":
      return host;
    case "none":
      return { nameservers: [], searches: [], options: [] };
    case "cluster":
      return {
        nameservers: server === undefined ? [] : [server],
        searches: [...domains, ...host.searches],
        options: ["ndots:5"],
      };
  }
}

/** As many as fit, the first ones. */
function fitting(searches: readonly string[]): string[] {
  const kept = searches.slice(0, MOST_SEARCHES);
  while (kept.join(" ").length > MOST_SEARCH_CHARACTERS) kept.pop();
  return kept;
}

/** Linux, sethostname(2). */
const MOST_HOSTNAME = 64;

/**
 * What the kernel of a pod calls its host: with hostNetwork the node's name, else spec.hostname or the pod's name, cut
 * to 63 characters; with its domain where setHostnameAsFQDN says so.
 * @throws GantryError invalid-manifest when that is longer than a kernel takes
 */
export function hostnameOf(pod: Pod, nodeName: string, { domain }: ClusterNames = NO_CLUSTER): string {
  const { hostNetwork, hostnameOverride, setHostnameAsFQDN } = pod.spec;
  if (hostnameOverride !== undefined) return hostnameOverride;
  if (hostNetwork === true) return nodeName;
  const full = fullName(pod, domain);
  if (setHostnameAsFQDN !== true || full === undefined) return shortName(pod);
  if (full.length <= MOST_HOSTNAME) return full;
  throw new GantryError(
    "invalid-manifest",
    `the host name ${full}, which setHostnameAsFQDN asks for, has ${full.length} characters; the most is ${MOST_HOSTNAME}`,
    { hint: "Take a shorter hostname or subdomain, or leave setHostnameAsFQDN out." },
  );
}

/** The names of the pod's address in its /etc/hosts: the full one first, where it has a domain. */
export function hostNamesOf(pod: Pod, { domain }: ClusterNames = NO_CLUSTER): string[] {
  if (pod.spec.hostnameOverride !== undefined) return [pod.spec.hostnameOverride];
  const full = fullName(pod, domain);
  return full === undefined ? [shortName(pod)] : [full, shortName(pod)];
}

function shortName({ metadata, spec }: Pod): string {
  return (spec.hostname ?? metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}

/** `<hostname>.<subdomain>.<namespace>.svc.<domain>`; undefined without a subdomain. */
function fullName(pod: Pod, domain: string): string | undefined {
  const { subdomain } = pod.spec;
  return subdomain === undefined || subdomain === ""
    ? undefined
    : `${shortName(pod)}.${subdomain}.${pod.metadata.namespace}.svc.${domain}`;
}
