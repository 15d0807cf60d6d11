import { readdir } from "node:fs/promises";
import { z } from "zod";
import type { Config } from "../config/index.ts";
import { interfaceExists } from "../network/bridge.ts";
import { chooseConflist, type FoundConflist } from "../network/conflist.ts";
import { bridgeName, conflistFolder, pluginFolders } from "../network/index.ts";
import { networkOf } from "../network/own-conflist.ts";
import { conflictingRoute, readRoutes } from "../network/routes.ts";
import { DnsServer } from "../service/dns-server.ts";
import { chooseRange } from "../service/range.ts";
import { messageOf } from "../system/errors.ts";
import { exec } from "../system/exec.ts";
import type { Paths } from "../system/paths.ts";
import type { NetworkFacts } from "./facts.ts";
import { said, text } from "./gather.ts";

/** What Gantry's own network needs. */
const OWN_PLUGINS = ["bridge", "host-local"];

export async function gatherNetwork(
  paths: Paths,
  config: Config,
  root: boolean,
  signal: AbortSignal,
): Promise<NetworkFacts> {
  const folders = pluginFolders();
  const plugins = (await Promise.all(folders.map((folder) => readdir(folder).catch(() => [])))).flat();
  const { found, error } = await findConflist(paths, config);
  const own = found?.own ? networkOf(found.conflist) : undefined;
  const subnet = own?.subnet ?? config.network.subnet;
  const routes = await readRoutes(exec, signal).catch(() => []);
  const { rootId } = paths;
  const bridge = bridgeName(rootId);
  const conflict = conflictingRoute(subnet, routes, bridge);
  const isUp = root && own !== undefined && (await interfaceExists(bridge));
  return {
    pluginFolders: folders,
    plugins: [...new Set(plugins)].sort(),
    needed: found === undefined || found.own ? OWN_PLUGINS : pluginsOf(found),
    conflist: found === undefined ? undefined : { file: found.file, name: found.conflist.name, own: found.own },
    conflistError: error,
    forwarding: (await text("/proc/sys/net/ipv4/ip_forward")).trim() === "1",
    droppingTables: root ? droppingTables((await said("nft", ["-j", "list", "chains"], signal)) ?? "") : [],
    subnet,
    conflictingRoute:
      conflict === undefined ? undefined : `${conflict.dst}${conflict.dev === undefined ? "" : ` dev ${conflict.dev}`}`,
    services: chooseRange({ rootId, configured: config.network.serviceSubnet, podSubnet: subnet, routes, bridge }),
    dnsObstacle: isUp ? await new DnsServer(paths).obstacle(own.gateway) : undefined,
  };
}

async function findConflist(paths: Paths, config: Config): Promise<{ found?: FoundConflist; error?: string }> {
  try {
    const found = await chooseConflist(conflistFolder(paths), config.network.conflist);
    return found === undefined ? {} : { found };
  } catch (error) {
    return { error: messageOf(error) };
  }
}

const ipamSchema = z.object({ ipam: z.object({ type: z.string() }) });

function pluginsOf({ conflist }: FoundConflist): string[] {
  const ipam = conflist.plugins.flatMap((plugin) => ipamSchema.safeParse(plugin).data?.ipam.type ?? []);
  return [...new Set([...conflist.plugins.map((plugin) => plugin.type), ...ipam])];
}

const chainsSchema = z.object({
  nftables: z.array(
    z.object({
      chain: z
        .object({ family: z.string(), table: z.string(), hook: z.string().optional(), policy: z.string().optional() })
        .optional(),
    }),
  ),
});

/**
 * Tables whose forward chain drops by default. Not iptables' own (ip filter), where the daemon adds a rule, nor
 * firewalld's, which it asks.
 */
export function droppingTables(json: string): string[] {
  const parsed = json === "" ? undefined : chainsSchema.safeParse(JSON.parse(json)).data;
  const chains = parsed?.nftables.flatMap(({ chain }) => chain ?? []) ?? [];
  const dropping = chains.filter(
    ({ family, hook, policy }) => hook === "forward" && policy === "drop" && ["ip", "inet"].includes(family),
  );
  return [...new Set(dropping.map(({ family, table }) => `${family} ${table}`))].filter(
    (table) => table !== "ip filter" && table !== "inet firewalld",
  );
}
