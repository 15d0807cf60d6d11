/** Services: names and addresses for pods, by dnsmasq and nftables. */
export type { ClusterDns, Served, ServiceKeeper, ServiceLink } from "./contract.ts";
export { createServiceKeeper } from "./keeper.ts";
export { linkVariables } from "./links.ts";
