import type { PortMapping } from "../sandbox/driver.ts";
import { isGantryError } from "../system/errors.ts";
import type { Exec } from "./plugin.ts";

/**
 * Makes the kernel forget where earlier UDP packets to these ports went. A client that keeps sending from one port
 * would else reach the previous pod's address for ever (TCP's clients reconnect). Needs the `conntrack` tool; without
 * it the flow has to be idle for as long as nf_conntrack_udp_timeout_stream says.
 */
export async function forgetUdpFlows(exec: Exec, mappings: readonly PortMapping[], signal: AbortSignal): Promise<void> {
  const ports = mappings.filter((mapping) => mapping.protocol === "UDP").map((mapping) => mapping.hostPort);
  await forget(
    exec,
    ports.map((port) => ["--orig-port-dst", String(port)]),
    signal,
  );
}

/** Where packets to an address (undefined: any of the host's) and port were sent on to. */
export interface UdpTarget {
  readonly address: string | undefined;
  readonly port: number;
  readonly pod: string;
}

/** The same for flows to one pod of several. */
export async function forgetUdpTargets(exec: Exec, targets: readonly UdpTarget[], signal: AbortSignal): Promise<void> {
  const filters = targets.map(({ address, port, pod }) => {
    const to = address === undefined ? [] : ["--orig-dst", address];
    return [...to, "--orig-port-dst", String(port), "--reply-src", pod];
  });
  await forget(exec, filters, signal);
}

async function forget(exec: Exec, filters: readonly (readonly string[])[], signal: AbortSignal): Promise<void> {
  for (const filter of filters) {
    try {
      await exec("conntrack", ["-D", "-p", "udp", ...filter], { signal, okCodes: "any" });
    } catch (error) {
      if (isGantryError(error, "command-missing")) return;
      throw error;
    }
  }
}
