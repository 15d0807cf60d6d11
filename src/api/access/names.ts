import { hostname, type NetworkInterfaceInfo, networkInterfaces } from "node:os";

/** Addresses that stand for all that the host has. */
export const WILDCARDS: ReadonlySet<string> = new Set(["0.0.0.0", "::"]);
/** Of pods and of bridges that come and go with them: nobody calls the API there. */
const NOT_THE_HOSTS = /^(veth|cni|docker|podman|virbr|gantry|gty|tap)/;

/**
 * Names and addresses that the server's certificate is for.
 * @param host where it listens @param more from the configuration
 */
export function serverNames(
  host: string,
  more: readonly string[],
  interfaces: Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>> = networkInterfaces(),
): string[] {
  const all = Object.entries(interfaces).flatMap(([name, addresses = []]) =>
    NOT_THE_HOSTS.test(name) ? [] : addresses.flatMap(({ address }) => (address.startsWith("fe80:") ? [] : [address])),
  );
  const own = WILDCARDS.has(host) ? all : [host];
  return [...new Set(["localhost", hostname().toLowerCase(), "127.0.0.1", "::1", ...own, ...more])];
}
