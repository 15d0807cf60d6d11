import { z } from "zod";
import { GantryError } from "../../../system/errors.ts";
import { exec } from "../../../system/exec.ts";
import type { GuestNetwork } from "../protocol/index.ts";

/** The tap in every pod's own network namespace. */
export const TAP = "tap0";

/**
 * Makes a network namespace, pins it to a file that is there already, and makes the VM's tap in it.
 * @throws GantryError command-failed
 */
export async function pinNetns(path: string, signal: AbortSignal): Promise<void> {
  const input = `link set lo up\ntuntap add dev ${TAP} mode tap\nlink set ${TAP} up\n`;
  await exec("unshare", [`--net=${path}`, "ip", "-batch", "-"], { input, signal });
}

/** What is read of `ip -j`, see ip-address(8). */
const links = z.array(
  z.object({
    address: z.string(),
    mtu: z.number(),
    addr_info: z.array(z.object({ family: z.string(), local: z.string(), prefixlen: z.number(), scope: z.string() })),
  }),
);
const routes = z.array(z.object({ dst: z.string(), gateway: z.string().optional() }));

/**
 * Joins the tap with the pod's interface: whatever comes in at one goes out at the other. The guest then takes over
 * the interface's MAC, addresses and routes.
 * @returns what the guest must be configured with. @throws GantryError network-failed, command-failed
 */
export async function joinTap(netns: string, interfaceName: string, signal: AbortSignal): Promise<GuestNetwork> {
  const script = [
    `tc -batch - <<'END'`,
    ...joinCommands(interfaceName, TAP),
    "END",
    `ip -j address show dev "$1"; echo; ip -j route show dev "$1"; echo; ip -j -6 route show dev "$1"`,
  ].join("\n");
  const { stdout } = await exec("nsenter", [`--net=${netns}`, "sh", "-ec", script, "sh", interfaceName], { signal });
  return parseInterface(stdout, interfaceName);
}

function joinCommands(a: string, b: string): string[] {
  const one = (from: string, to: string): string[] => [
    `qdisc replace dev ${from} ingress`,
    `filter replace dev ${from} parent ffff: protocol all pref 1 handle 800::800 u32 match u32 0 0 action mirred egress redirect dev ${to}`,
  ];
  return [...one(a, b), ...one(b, a)];
}

/** Three lines of JSON: the interface, its IPv4 routes, its IPv6 routes. Pure. @throws GantryError network-failed */
export function parseInterface(output: string, interfaceName: string): GuestNetwork {
  const [addresses = "", ipv4 = "", ipv6 = ""] = output.split("\n").filter((line) => line.trim() !== "");
  const parse = <T>(schema: z.ZodType<T>, text: string): T => schema.parse(JSON.parse(text === "" ? "[]" : text));
  try {
    const [link] = parse(links, addresses);
    if (link === undefined) throw new Error("no interface");
    const own = link.addr_info.filter((info) => info.scope === "global");
    return {
      mac: link.address,
      mtu: link.mtu,
      addresses: own.map((info) => `${info.local}/${info.prefixlen}`),
      // Those of the addresses themselves come with them.
      routes: [...parse(routes, ipv4), ...parse(routes, ipv6)]
        .filter((route) => route.gateway !== undefined)
        .map(({ dst, gateway }) => ({ destination: dst, ...(gateway === undefined ? {} : { gateway }) })),
    };
  } catch (cause) {
    throw new GantryError("network-failed", `cannot make out the addresses of ${interfaceName}`, {
      kind: "system",
      cause,
      hint: "See the CNI configuration; a micro-VM needs an Ethernet-like interface in its pod.",
    });
  }
}
