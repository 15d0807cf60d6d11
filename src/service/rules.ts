/**
 * The nft table of a root's Services, as text for `nft -f -`. Pure. One transaction replaces the whole of it, so that
 * no packet sees it missing; connections that are there go on, as the kernel remembers where they went.
 */
import type { Endpoint } from "../controller/service.ts";
import { lower } from "../network/port-rules.ts";
import { portKey, type Served } from "./contract.ts";
import { fnv } from "./fnv.ts";

export interface ServiceTable {
  readonly table: string;
  /** The range of the Services' addresses: what is in it and is nobody's is refused. Undefined: there is none. */
  readonly range: string | undefined;
  /** Where the name server listens; only pods and the host may ask it. */
  readonly dns: { readonly server: string; readonly bridge: string } | undefined;
  readonly services: readonly Served[];
}

/** Clients of a Service with sessionAffinity are spread over so many slots, and the slots over its pods. */
const SLOTS = 64;

interface Target {
  readonly ip: string;
  readonly port: number;
}

/**
 * - `pick` sends a new connection to one of the pods: any (`numgen`), or always the same for a client (`jhash`).
 * - Client and pod are on one bridge, where the answer would find its way past the host, and so past the kernel's
 *   memory of the connection: `postrouting` has it come back through the host.
 * - An address without a ready pod refuses connections at once, as kube-proxy does.
 */
export function serviceTableText({ table, range, dns, services }: ServiceTable): string {
  const ports = services.flatMap(portsOf);
  const served = ports.filter(({ targets }) => targets.length > 0);
  const chains = served.map(({ chain, protocol, targets, sticky, label }) =>
    [
      `  chain ${chain} {`,
      `    comment "${label}"`,
      `    meta l4proto ${protocol} dnat ip to ${sticky ? slots(label, targets) : anyOf(targets)}`,
      "  }",
    ].join("\n"),
  );
  const byAddress = served.flatMap(({ chain, address, protocol, port }) =>
    address === undefined ? [] : [`${address} . ${protocol} . ${port} : goto ${chain}`],
  );
  const byNodePort = served.flatMap(({ chain, protocol, nodePort }) =>
    nodePort === undefined ? [] : [`${protocol} . ${nodePort} : goto ${chain}`],
  );
  return `add table ip ${table}
delete table ip ${table}
table ip ${table} {
  map services { type ipv4_addr . inet_proto . inet_service : verdict;${elements(byAddress)} }
  map node_ports { type inet_proto . inet_service : verdict;${elements(byNodePort)} }
${chains.map((chain) => `${chain}\n`).join("")}  chain pick {
    ip daddr . meta l4proto . th dport vmap @services
    fib daddr type local meta l4proto . th dport vmap @node_ports
  }
  chain prerouting {
    type nat hook prerouting priority -100; policy accept;
    jump pick
  }
  chain output {
    type nat hook output priority -100; policy accept;
    jump pick
  }
  chain refuse {
    meta l4proto tcp reject with tcp reset
    reject
  }
${range === undefined ? "" : rangeChains(range)}${dns === undefined ? "" : guardChain(dns)}}
`;
}

function rangeChains(range: string): string {
  return `  chain postrouting {
    type nat hook postrouting priority 100; policy accept;
    ct original ip daddr ${range} ct status dnat masquerade
  }
  chain forward {
    type filter hook forward priority -10; policy accept;
    ip daddr ${range} jump refuse
  }
  chain local {
    type filter hook output priority -10; policy accept;
    ip daddr ${range} jump refuse
  }
`;
}

/** The address of the bridge is the host's, which its neighbours reach as well. */
function guardChain({ server, bridge }: NonNullable<ServiceTable["dns"]>): string {
  return `  chain guard {
    type filter hook input priority -10; policy accept;
    ip daddr ${server} meta l4proto { tcp, udp } th dport 53 iifname != { "lo", "${bridge}" } drop
  }
`;
}

const elements = (list: readonly string[]): string => (list.length === 0 ? "" : ` elements = { ${list.join(", ")} };`);

interface PortOfService {
  readonly chain: string;
  readonly label: string;
  readonly address: string | undefined;
  readonly protocol: "tcp" | "udp" | "sctp";
  readonly port: number;
  readonly nodePort: number | undefined;
  readonly targets: readonly Target[];
  readonly sticky: boolean;
}

function portsOf({ service, resolved, clusterIP, nodePorts }: Served): PortOfService[] {
  if (clusterIP === "None") return [];
  const sticky = service.spec.sessionAffinity === "ClientIP";
  return resolved.ports.map(({ port, protocol }) => ({
    chain: `service_${fnv(`${resolved.key}:${port}/${protocol}`).toString(16)}_${lower(protocol)}_${port}`,
    label: `${resolved.key}:${port}/${protocol}`,
    address: clusterIP,
    protocol: lower(protocol),
    port,
    nodePort: nodePorts[portKey({ port, protocol })],
    targets: targetsOf(resolved.endpoints, port, protocol),
    sticky,
  }));
}

/** Where a port of a Service is served, in the order of the pods' names. */
export function targetsOf(endpoints: readonly Endpoint[], port: number, protocol: string): Target[] {
  return endpoints.flatMap(({ ips, ports }) => {
    const ip = ips.find((address) => !address.includes(":"));
    const served = ports.find((one) => one.port === port && one.protocol === protocol);
    return ip === undefined || served === undefined ? [] : [{ ip, port: served.targetPort }];
  });
}

const text = ({ ip, port }: Target): string => `${ip} . ${port}`;

function anyOf(targets: readonly Target[]): string {
  const [only] = targets;
  if (targets.length === 1 && only !== undefined) return `${only.ip}:${only.port}`;
  return `numgen random mod ${targets.length} map { ${targets.map((target, index) => `${index} : ${text(target)}`).join(", ")} }`;
}

/** Rendezvous hashing (Thaler and Ravishankar 1998): when a pod comes or goes, only its own share of the clients moves. */
function slots(label: string, targets: readonly Target[]): string {
  const [only] = targets;
  if (targets.length === 1 && only !== undefined) return `${only.ip}:${only.port}`;
  const chosen = Array.from({ length: SLOTS }, (_, slot) => {
    const scored = targets.map((target) => ({ target, score: fnv(`${slot} ${text(target)}`) }));
    const best = scored.reduce((a, b) => (b.score > a.score ? b : a));
    return `${slot} : ${text(best.target)}`;
  });
  return `jhash ip saddr mod ${SLOTS} seed 0x${fnv(label).toString(16)} map { ${chosen.join(", ")} }`;
}
