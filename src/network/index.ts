/** The pods' network: interfaces by CNI plugins, host ports and masquerading by one nft table per root. */
import type { PodNetwork } from "./contract.ts";
import { CniPodNetwork } from "./network.ts";
import type { NodeOptions } from "./node.ts";

export type { AttachRequest, NetworkResult, PodNetwork } from "./contract.ts";
export { type HostDns, hostDns } from "./host-dns.ts";
export type { NodeOptions as PodNetworkOptions } from "./node.ts";
export { bridgeName, conflistFolder } from "./own-conflist.ts";
export { pluginFolders } from "./plugin.ts";

/** Touches nothing until `start`. */
export function createPodNetwork(options: NodeOptions): PodNetwork {
  return new CniPodNetwork(options);
}
