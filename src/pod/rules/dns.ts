/** resolv.conf and host name of a pod. */
import type { Pod } from "../../manifest/index.ts";
import type { DnsConfig } from "../../sandbox/driver.ts";

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

/** True when the host's own resolv.conf must be read for `dnsOf`. */
export function needsHostResolv(pod: Pod): boolean {
  return pod.spec.dnsConfig !== undefined && pod.spec.dnsPolicy !== "None";
}

/** ClusterFirst without a cluster DNS acts as Default: the host's resolv.conf, with dnsConfig added to it. */
export function dnsOf(pod: Pod, host: Resolv): DnsConfig {
  const { dnsPolicy, dnsConfig } = pod.spec;
  if (dnsPolicy !== "None" && dnsConfig === undefined) return { policy: "host" };
  const base: Resolv = dnsPolicy === "None" ? { nameservers: [], searches: [], options: [] } : host;
  const own = (dnsConfig?.options ?? []).map(({ name, value }) => (value === undefined ? name : `${name}:${value}`));
  const overridden = new Set((dnsConfig?.options ?? []).map(({ name }) => name));
  const unique = (list: readonly string[]): string[] => [...new Set(list)];
  return {
    policy: "custom",
    nameservers: unique([...base.nameservers, ...(dnsConfig?.nameservers ?? [])]),
    searches: unique([...base.searches, ...(dnsConfig?.searches ?? [])]),
    options: [...base.options.filter((option) => !overridden.has(option.split(":")[0] ?? option)), ...own],
  };
}

/** With hostNetwork the node's; else spec.hostname or the pod's name, cut to what the kernel takes (64, less one). */
export function hostnameOf(pod: Pod, nodeName: string): string {
  const { hostNetwork, hostname, hostnameOverride } = pod.spec;
  if (hostnameOverride !== undefined) return hostnameOverride;
  if (hostNetwork === true) return nodeName;
  return (hostname ?? pod.metadata.name).slice(0, 63).replace(/[-.]+$/, "");
}
