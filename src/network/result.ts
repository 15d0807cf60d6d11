import { z } from "zod";
import { formatCidr, parseCidr } from "../config/cidr.ts";
import { GantryError } from "../system/errors.ts";
import { INTERFACE } from "./chain.ts";
import type { NetworkResult } from "./contract.ts";

/** CNI's result, versions 0.3 to 1.1: the parts that we read. The rest is kept for DEL. */
export const cniResultSchema = z.looseObject({
  interfaces: z
    .array(z.looseObject({ name: z.string(), mac: z.string().optional(), sandbox: z.string().optional() }))
    .optional(),
  ips: z
    .array(z.looseObject({ address: z.string(), gateway: z.string().optional(), interface: z.number().optional() }))
    .optional(),
});
export type CniResult = z.infer<typeof cniResultSchema>;

/** @throws network-failed when it is no result, or has no address */
export function parseCniResult(value: unknown, network: string): CniResult {
  const result = cniResultSchema.safeParse(value);
  if (result.success && (result.data.ips?.length ?? 0) > 0) return result.data;
  throw new GantryError("network-failed", `network '${network}' gave the pod no address`, {
    kind: "system",
    hint: "Its conflist needs a plugin with IPAM.",
    details: { result: value },
  });
}

const bare = (address: string): string => address.split("/")[0] ?? address;

export function toNetworkResult(result: CniResult): NetworkResult {
  const ips = result.ips ?? [];
  const inside = result.interfaces?.find((each) => each.name === INTERFACE && (each.sandbox ?? "") !== "");
  return {
    ips: ips.map((ip) => bare(ip.address)),
    gateway: ips[0]?.gateway,
    mac: inside?.mac,
    interfaceName: INTERFACE,
  };
}

/** The pod's IPv4 address. */
export function ipv4Of(result: CniResult): string | undefined {
  return result.ips?.map((ip) => bare(ip.address)).find((address) => !address.includes(":"));
}

/** The IPv4 networks that the pod is in, as CIDRs. */
export function networksOf(result: CniResult): string[] {
  return (result.ips ?? []).flatMap((ip) => {
    const cidr = parseCidr(ip.address);
    return cidr === undefined ? [] : [formatCidr(cidr)];
  });
}

/** The host's ends: bridge, veth. */
export function hostInterfaces(result: CniResult): string[] {
  return (result.interfaces ?? []).filter((each) => (each.sandbox ?? "") === "").map((each) => each.name);
}
