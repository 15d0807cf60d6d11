import { formatCidr, parseCidr } from "../config/cidr.ts";
import type { OwnNetwork } from "./own-conflist.ts";
import type { AttachmentRecord } from "./records.ts";
import { ipv4Of, networksOf } from "./result.ts";

/** The nft table of a root, as text for `nft -f -`. Pure. See nftables(8); all verdict and map types exist since nft 0.9.4. */

/** Host address (undefined: any) and port → pod address and port. */
export interface PortRule {
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly hostIP: string | undefined;
  readonly hostPort: number;
  readonly podIP: string;
  readonly podPort: number;
}

/** The rules that Gantry itself makes for a pod: none when a plugin does, or before ADD is through. */
export function portRules(record: AttachmentRecord): PortRule[] {
  const podIP = record.result === undefined ? undefined : ipv4Of(record.result);
  if (!record.ownPorts || podIP === undefined) return [];
  return record.portMappings.map(({ protocol, hostIP, hostPort, containerPort }) => ({
    protocol: lower(protocol),
    hostIP: isAnyAddress(hostIP) ? undefined : hostIP,
    hostPort,
    podIP,
    podPort: containerPort,
  }));
}

export function lower(protocol: "TCP" | "UDP" | "SCTP"): "tcp" | "udp" | "sctp" {
  switch (protocol) {
    case "TCP":
      return "tcp";
    case "UDP":
      return "udp";
    case "SCTP":
      return "sctp";
  }
}

/** True where a mapping is for every address of the host. */
export function isAnyAddress(hostIP: string | undefined): boolean {
  return hostIP === undefined || hostIP === "" || hostIP === "0.0.0.0" || hostIP === "::";
}

/** The networks of the pods that have port rules, and Gantry's own. */
export function podNetworks(own: OwnNetwork | undefined, records: readonly AttachmentRecord[]): string[] {
  const user = records.flatMap((record) =>
    record.result !== undefined && portRules(record).length > 0 ? networksOf(record.result) : [],
  );
  return [...new Set([...(own === undefined ? [] : [own.subnet]), ...user])].sort();
}

/** "tcp . 8080 : 10.77.0.2 . 80" in map `ports`, with the host's address in map `ports_of_ip`. */
export function elementOf(rule: PortRule): {
  readonly map: "ports" | "ports_of_ip";
  readonly key: string;
  readonly value: string;
} {
  const value = `${rule.podIP} . ${rule.podPort}`;
  if (rule.hostIP === undefined) return { map: "ports", key: `${rule.protocol} . ${rule.hostPort}`, value };
  return { map: "ports_of_ip", key: `${rule.protocol} . ${rule.hostIP} . ${rule.hostPort}`, value };
}

/** Adds the elements of `rules`, all or none. */
export function addText(table: string, rules: readonly PortRule[]): string {
  return rules
    .map(elementOf)
    .map(({ map, key, value }) => `add element ip ${table} ${map} { ${key} : ${value} }\n`)
    .join("");
}

/** Removes them, all or none. */
export function deleteText(table: string, rules: readonly PortRule[]): string {
  return rules
    .map(elementOf)
    .map(({ map, key }) => `delete element ip ${table} ${map} { ${key} }\n`)
    .join("");
}

/**
 * Replaces the whole table in one transaction, so that no packet sees it missing.
 *
 * - `hostport`: the exact address first, then any.
 * - From 127.0.0.1 (with route_localnet on the bridge) and from pod to pod by way of a host port, the source has to
 *   be the bridge's, or the answer would not come back through the host.
 * - route_localnet would let neighbours reach what listens on the host's loopback only (CVE-2020-8558): `guard` drops that.
 */
export function tableText(table: string, own: OwnNetwork | undefined, records: readonly AttachmentRecord[]): string {
  const networks = disjoint(podNetworks(own, records));
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map ports { type inet_proto . inet_service : ipv4_addr . inet_service; }
  map ports_of_ip { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }
  set pod_networks { type ipv4_addr; flags interval;${networks.length === 0 ? "" : ` elements = { ${networks.join(", ")} };`} }
  chain hostport {
    dnat ip to meta l4proto . ip daddr . th dport map @ports_of_ip
    dnat ip to meta l4proto . th dport map @ports
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    fib daddr type local jump hostport
  }
  chain output {
    type nat hook output priority -100; policy accept;
    fib daddr type local jump hostport
  }
  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ip saddr 127.0.0.0/8 ip daddr @pod_networks ct status dnat masquerade
    ip saddr @pod_networks ip daddr @pod_networks ct status dnat masquerade
${own === undefined ? "" : `    ip saddr ${own.subnet} ip daddr != { ${own.subnet}, 224.0.0.0/4 } masquerade\n`}  }
  chain guard {
    type filter hook input priority -10; policy accept;
    iifname != "lo" ip daddr 127.0.0.0/8 ct state new,invalid drop
  }
}
${addText(table, records.flatMap(portRules))}`;
}

/** nft refuses an interval set with overlapping elements: drops those inside another. */
function disjoint(networks: readonly string[]): string[] {
  const parsed = networks.flatMap((text) => parseCidr(text) ?? []).sort((a, b) => a.prefix - b.prefix);
  const kept: typeof parsed = [];
  for (const cidr of parsed) {
    const inside = kept.some((wide) => cidr.base >= wide.base && cidr.base < wide.base + 2 ** (32 - wide.prefix));
    if (!inside) kept.push(cidr);
  }
  return kept.map(formatCidr);
}
