/** Ports of the host that pods ask for, and which of them collide. Pure. */
import type { Pod } from "./manifest/index.ts";

interface HostPort {
  /** "spec.containers[0].ports[0].hostPort" */
  readonly field: string;
  readonly ip: string;
  readonly port: number;
  readonly protocol: string;
}

function hostPortsOf(pod: Pod): HostPort[] {
  return (["initContainers", "containers"] as const).flatMap((list) =>
    (pod.spec[list] ?? []).flatMap(({ ports = [] }, at) =>
      ports.flatMap(({ hostPort, hostIP: ip = "0.0.0.0", protocol = "TCP" }, index) =>
        hostPort === undefined
          ? []
          : [{ field: `spec.${list}[${at}].ports[${index}].hostPort`, ip, port: hostPort, protocol }],
      ),
    ),
  );
}

/** The same, wherever in the pod they are written. */
export function portsOf(pod: Pod): Omit<HostPort, "field">[] {
  return hostPortsOf(pod).map(({ ip, port, protocol }) => ({ ip, port, protocol }));
}

/** Who holds which host port; an unspecified address overlaps with every other. */
export class PortLedger {
  /** By port and protocol: "80/TCP". */
  readonly #held = new Map<string, { readonly ip: string; readonly owner: string }[]>();

  claim(pod: Pod): { field: string; port: string; owner: string } | undefined {
    const wanted = hostPortsOf(pod).map(({ field, ip, port, protocol }) => ({
      field,
      ip,
      port: `${port}/${protocol}`,
    }));
    for (const { field, ip, port } of wanted) {
      const clash = this.#held.get(port)?.find((held) => held.ip === ip || isWild(held.ip) || isWild(ip));
      if (clash !== undefined) return { field, port, owner: clash.owner };
    }
    const owner = `${pod.metadata.namespace}/${pod.metadata.name}`;
    for (const { ip, port } of wanted) {
      const held = this.#held.get(port);
      if (held === undefined) this.#held.set(port, [{ ip, owner }]);
      else held.push({ ip, owner });
    }
    return undefined;
  }
}

function isWild(ip: string): boolean {
  return ip === "" || ip === "0.0.0.0" || ip === "::";
}

/** Whether `pod` wants a host port that one of `others` has. */
export function sharesHostPort(pod: Pod, others: Iterable<Pod>): boolean {
  if (hostPortsOf(pod).length === 0) return false;
  const ports = new PortLedger();
  for (const other of others) ports.claim(other);
  return ports.claim(pod) !== undefined;
}
