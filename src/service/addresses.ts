/** Which address and which ports of the host each Service has. Pure. */
import { type Cidr, cidrContains, formatCidr, ipv4ToNumber, numberToIpv4 } from "../config/cidr.ts";
import type { Service } from "../manifest/index.ts";
import { type Assigned, isHeadless, portKey } from "./contract.ts";
import { fnv } from "./fnv.ts";

export interface Claimant {
  /** "<namespace>/<name>" */
  readonly key: string;
  readonly service: Service;
  /** What it has had so far. */
  readonly before: Partial<Assigned>;
}

export interface Refusal {
  readonly key: string;
  /** "spec.clusterIP" */
  readonly field: string;
  readonly message: string;
  readonly hint: string;
}

export interface Assignment {
  readonly byKey: ReadonlyMap<string, Assigned>;
  readonly refusals: readonly Refusal[];
}

/** Kubernetes' range for ports of nodes that nobody chose (kube-apiserver, --service-node-port-range). */
const FIRST_NODE_PORT = 30_000;
const NODE_PORTS = 2768;

/**
 * What a Service had it keeps; then come addresses that are written, then those that nobody chose: the place in the
 * range is a hash of the name, so that it is the same one wherever it is free.
 *
 * @param claimants oldest first: of two that want the same the older one has it
 * @param range undefined: there is none, and no Service gets an address
 * @param hostPorts who has a port of the host already: "30080/TCP" → "pod default/web"
 */
export function assign(
  claimants: readonly Claimant[],
  range: Cidr | undefined,
  hostPorts: ReadonlyMap<string, string>,
): Assignment {
  const refusals: Refusal[] = [];
  const refuse = ({ key }: Claimant, field: string, message: string, hint: string): void =>
    void refusals.push({ key, field, message, hint });
  const addresses = assignAddresses(claimants, range, refuse);
  const ports = assignPorts(claimants, hostPorts, refuse);
  const byKey = new Map(
    claimants.map(({ key }): [string, Assigned] => [
      key,
      { clusterIP: addresses.get(key), nodePorts: ports.get(key) ?? {} },
    ]),
  );
  return { byKey, refusals };
}

type Refuse = (claimant: Claimant, field: string, message: string, hint: string) => void;

function assignAddresses(claimants: readonly Claimant[], range: Cidr | undefined, refuse: Refuse): Map<string, string> {
  const held = new Map<string, string>();
  const result = new Map<string, string>();
  const give = ({ key }: Claimant, address: string): void => {
    held.set(address, key);
    result.set(key, address);
  };
  const open: Claimant[] = [];
  for (const claimant of claimants) {
    const { service, before, key } = claimant;
    const asked = wantedAddress(service);
    const kept = before.clusterIP;
    if (isHeadless(service)) result.set(key, "None");
    else if (range === undefined) continue;
    else if (kept !== undefined && (asked ?? kept) === kept && isUsable(range, kept) && !held.has(kept))
      give(claimant, kept);
    else open.push(claimant);
  }
  if (range === undefined) return result;
  const free: Claimant[] = [];
  for (const claimant of open) {
    const asked = wantedAddress(claimant.service);
    const holder = asked === undefined ? undefined : held.get(asked);
    if (asked === undefined) free.push(claimant);
    else if (!isUsable(range, asked)) {
      const message = `${asked} is no address for Services here: they are from ${formatCidr(range)}`;
      refuse(claimant, "spec.clusterIP", message, "leave it out, or set network.serviceSubnet in the config");
    } else if (holder !== undefined) {
      refuse(claimant, "spec.clusterIP", `${asked} is the address of Service ${holder}`, "leave it out");
    } else give(claimant, asked);
  }
  const size = 2 ** (32 - range.prefix) - 2;
  for (const claimant of free) {
    const start = fnv(claimant.key);
    let step = 0;
    const at = (): string => numberToIpv4(range.base + 1 + ((start + step) % size));
    while (step < size && held.has(at())) step++;
    if (step < size) give(claimant, at());
    else {
      const message = `there is no address left in ${formatCidr(range)}`;
      refuse(claimant, "spec", message, "set a wider network.serviceSubnet in the config");
    }
  }
  return result;
}

function wantedAddress({ spec }: Service): string | undefined {
  return spec.clusterIP || spec.clusterIPs?.[0] || undefined;
}

/** Neither the network's own address nor that of its broadcast. */
function isUsable(range: Cidr, address: string): boolean {
  const value = ipv4ToNumber(address);
  if (value === undefined || !cidrContains(range, address)) return false;
  return value !== range.base && value !== range.base + 2 ** (32 - range.prefix) - 1;
}

function assignPorts(
  claimants: readonly Claimant[],
  hostPorts: ReadonlyMap<string, string>,
  refuse: Refuse,
): Map<string, Record<string, number>> {
  const held = new Map(hostPorts);
  const result = new Map<string, Record<string, number>>();
  const give = (claimant: Claimant, port: { port: number; protocol: string }, nodePort: number): void => {
    held.set(`${nodePort}/${port.protocol}`, `Service ${claimant.key}`);
    result.set(claimant.key, { ...result.get(claimant.key), [portKey(port)]: nodePort });
  };
  const wanted = claimants.flatMap((claimant) => {
    const { type, ports = [] } = claimant.service.spec;
    return type === "NodePort" ? ports.map((port, index) => ({ claimant, port, index })) : [];
  });
  const isFree = (nodePort: number, protocol: string): boolean => !held.has(`${nodePort}/${protocol}`);
  const open = wanted.filter(({ claimant, port, index }) => {
    const asked = port.nodePort || undefined;
    const nodePort = asked ?? claimant.before.nodePorts?.[portKey(port)];
    if (nodePort === undefined) return true;
    const holder = held.get(`${nodePort}/${port.protocol}`);
    if (holder === undefined) give(claimant, port, nodePort);
    else if (asked === undefined) return true;
    else {
      const message = `port ${nodePort}/${port.protocol} of the host is used by ${holder}`;
      refuse(claimant, `spec.ports[${index}].nodePort`, message, "choose another nodePort, or leave it out");
    }
    return false;
  });
  for (const { claimant, port } of open) {
    const start = fnv(`${claimant.key}:${portKey(port)}`);
    let step = 0;
    const at = (): number => FIRST_NODE_PORT + ((start + step) % NODE_PORTS);
    while (step < NODE_PORTS && !isFree(at(), port.protocol)) step++;
    if (step < NODE_PORTS) give(claimant, port, at());
  }
  return result;
}
