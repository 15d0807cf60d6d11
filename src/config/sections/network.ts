import { z } from "zod";
import { cidrOverlaps, cidrProblem, parseCidr } from "../cidr.ts";
import { isDnsSubdomain } from "./values.ts";

const cidr = z.string().superRefine((text, context) => {
  const problem = cidrProblem(text);
  if (problem !== undefined) context.addIssue({ code: "custom", message: problem });
});

export const network = z.strictObject({
  subnet: cidr.describe("IPv4 range that pods get their addresses from. Ignored with a conflist of your own."),
  mtu: z
    .int()
    .refine((mtu) => mtu === 0 || (mtu >= 576 && mtu <= 65_535), "must be 0 or from 576 to 65535")
    .describe("MTU of the pods' interfaces in bytes; 0: as the host's default route has it."),
  conflist: z
    .string()
    .min(1)
    .optional()
    .describe(
      "CNI network to use: a path, or the name of a network in cni/net.d. Default: the first file there, else Gantry's own.",
    ),
  serviceSubnet: cidr.describe(
    "IPv4 range that Services get their addresses from; they lead somewhere on this host only.",
  ),
  domain: z
    .string()
    .refine(isDnsSubdomain, "must be a DNS name (lower-case letters, digits, '-' and '.')")
    .describe("Domain of the names of Services and pods: NAME.NAMESPACE.svc.DOMAIN."),
});

/** Of two addresses that are the same, one would never be reached. */
export function rangesDiffer({
  subnet,
  serviceSubnet,
}: {
  readonly subnet?: string | undefined;
  readonly serviceSubnet?: string | undefined;
}): boolean {
  const [pods, services] = [parseCidr(subnet ?? ""), parseCidr(serviceSubnet ?? "")];
  return pods === undefined || services === undefined || !cidrOverlaps(pods, services);
}

export const SAME_RANGE = { path: ["serviceSubnet"], message: "overlaps network.subnet" };
