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
 * Joins the tap with the pod's interface: what comes in at one goes out at the other, but for what no guest may reach
 * (see toPod). The guest then takes over the interface's MAC, addresses and routes.
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

/** Commands for tc(8). Pure. */
export function joinCommands(interfaceName: string, tap: string): string[] {
  const onto = (device: string): string => `action mirred egress redirect dev ${device}`;
  const from = (device: string, rules: readonly string[]): string[] => [
    `qdisc replace dev ${device} ingress`,
    ...rules.map((rule, n) => {
      const [protocol = "", ...rest] = rule.split(" ");
      return `filter add dev ${device} parent ffff: protocol ${protocol} pref ${n + 1} u32 ${rest.join(" ")}`;
    }),
  ];
  return [...from(interfaceName, [`all ${ANY} ${onto(tap)}`]), ...from(tap, toPod(onto(interfaceName), onto(tap)))];
}

const ANY = "match u32 0 0";
/** The metadata services of Amazon and Google, which hand out the host's credentials. */
const METADATA_IPV6 = ["fd00:ec2::254/128", "fd20:ce::254/128"];
/** An IPv4 header of 20 bytes, and not a later fragment: so that what is taken for a port is one. */
const PLAIN = "match u8 0x45 0xff at 0 match u16 0 0x1fff at 6";

/**
 * What a guest sends goes through, except to the metadata service of a cloud: nothing link-local may be reached but a
 * DNS server, which some clouds have there. Neither may anything through that is not IP, such as a VLAN tag around the
 * same. What may not is sent back to the guest: so no more of the kernel is needed than the redirection itself.
 * Pure. @param pass, @param refuse actions
 */
function toPod(pass: string, refuse: string): string[] {
  const linkLocal = "match ip dst 169.254.0.0/16";
  const dns = (protocol: number): string =>
    `ip ${linkLocal} ${PLAIN} match ip protocol ${protocol} 0xff match u16 53 0xffff at 22 ${pass}`;
  return [
    ...[dns(17), dns(6), `ip ${linkLocal} ${refuse}`],
    ...METADATA_IPV6.map((address) => `ipv6 match ip6 dst ${address} ${refuse}`),
    ...["arp", "ip", "ipv6"].map((protocol) => `${protocol} ${ANY} ${pass}`),
    `all ${ANY} ${refuse}`,
  ];
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
