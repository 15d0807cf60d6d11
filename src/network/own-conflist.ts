import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { numberToIpv4, parseCidr } from "../config/cidr.ts";
import type { Paths } from "../system/paths.ts";
import { writeAtomically } from "./files.ts";

/** The network that Gantry makes when the user has none. */
export interface OwnNetwork {
  /** Of the network, and of the nft table. */
  readonly name: string;
  readonly bridge: string;
  /** CIDR */
  readonly subnet: string;
  readonly gateway: string;
  /** Bytes. */
  readonly mtu: number;
}

/** Holds the hash of the rest of the file: as long as it fits, the file is Gantry's to rewrite. */
const MARK = "gantryGenerated";

export const conflistFolder = (paths: Paths): string => join(paths.etc, "cni", "net.d");
/** On a tmpfs for the system's root: a reboot frees every lease. */
export const leaseFolder = (paths: Paths): string => join(paths.run, "cni-leases");
const ownFile = (paths: Paths): string => join(conflistFolder(paths), "10-gantry.conflist");

/** Linux allows 15 characters for the name of an interface. */
export const bridgeName = (rootId: string): string => (rootId === "" ? "gantry0" : `gnt${rootId}`);
export const networkName = (rootId: string): string => `gantry${rootId}`;

export function ownNetwork(rootId: string, subnet: string, mtu: number): OwnNetwork {
  const gateway = numberToIpv4((parseCidr(subnet)?.base ?? 0) + 1);
  return { name: networkName(rootId), bridge: bridgeName(rootId), subnet, gateway, mtu };
}

/**
 * Bridge and host-local only: masquerading and host ports are Gantry's own nft table, because the plugins for it
 * start iptables several times per pod (portmap: 50–67 ms measured, one nft call: 8 ms).
 */
export function generateConflist(network: OwnNetwork, leases: string): Record<string, unknown> {
  const conflist = {
    cniVersion: "1.0.0",
    name: network.name,
    plugins: [
      {
        type: "bridge",
        bridge: network.bridge,
        isGateway: true,
        isDefaultGateway: true,
        ipMasq: false,
        hairpinMode: true,
        mtu: network.mtu,
        ipam: { type: "host-local", dataDir: leases, ranges: [[{ subnet: network.subnet, gateway: network.gateway }]] },
      },
    ],
  };
  return { ...conflist, [MARK]: hashOf(conflist) };
}

function hashOf(conflist: object): string {
  return createHash("sha256").update(JSON.stringify(conflist)).digest("hex").slice(0, 16);
}

/** True for a conflist that `generateConflist` made and nobody edited. */
export function isGenerated(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { [MARK]: mark, ...rest }: Record<string, unknown> = { ...value };
  return mark !== undefined && mark === hashOf(rest);
}

const ownShape = z.object({
  name: z.string(),
  plugins: z.tuple([
    z.object({
      bridge: z.string(),
      mtu: z.number(),
      ipam: z.object({ ranges: z.tuple([z.tuple([z.object({ subnet: z.string(), gateway: z.string() })])]) }),
    }),
  ]),
});

/** The network that a generated conflist describes. */
export function networkOf(conflist: unknown): OwnNetwork | undefined {
  const result = ownShape.safeParse(conflist);
  if (!result.success) return undefined;
  const [plugin] = result.data.plugins;
  const [[range]] = plugin.ipam.ranges;
  return { name: result.data.name, bridge: plugin.bridge, mtu: plugin.mtu, ...range };
}

export async function writeOwnConflist(paths: Paths, network: OwnNetwork): Promise<void> {
  await mkdir(conflistFolder(paths), { recursive: true });
  writeAtomically(ownFile(paths), `${JSON.stringify(generateConflist(network, leaseFolder(paths)), undefined, 2)}\n`);
}
