/** Services: names and addresses for pods, by dnsmasq and nftables. */
export type { ClusterDns, Served, ServiceLink } from "./contract.ts";
export { createServiceKeeper, type ServiceKeeper } from "./keeper.ts";
export { linkVariables } from "./links.ts";
