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
  for (const port of ports) {
    try {
      await exec("conntrack", ["-D", "-p", "udp", "--orig-port-dst", String(port)], { signal, okCodes: "any" });
    } catch (error) {
      if (isGantryError(error, "command-missing")) return;
      throw error;
    }
  }
}
