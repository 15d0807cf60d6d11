import { enableForwarding, ensureBridge, interfaceExists, removeInterface } from "./bridge.ts";
import { chooseConflist } from "./conflist.ts";
import { acceptForwarding, withdrawForwarding } from "./forward.ts";
import { type NodeNetwork, type NodeOptions, prepareConflist } from "./node.ts";
import { bridgeName, conflistFolder, networkOf, ownNetwork } from "./own-conflist.ts";
import { findPlugin } from "./plugin.ts";
import type { PortTable } from "./port-table.ts";

/** What the host needs before pods can join: conflist, plugins, forwarding, bridge, firewall, nft table. Safe to repeat. */
export async function buildNode(
  options: NodeOptions,
  ports: PortTable,
  inUse: boolean,
  signal: AbortSignal,
): Promise<NodeNetwork> {
  const { exec, log, paths } = options;
  const network = await prepareConflist(options, inUse, signal);
  for (const plugin of network.found.conflist.plugins) findPlugin(plugin.type);
  await enableForwarding();
  if (network.own !== undefined) {
    await ensureBridge(exec, network.own, paths.rootId, signal);
    await acceptForwarding(exec, network.own, log, signal);
  }
  if (!ports.isBuiltFor(network.own)) await ports.rebuild(network.own, signal);
  return network;
}

/** The network, without starting a process, when all that `buildNode` makes is there. */
export async function builtNode(options: NodeOptions, ports: PortTable): Promise<NodeNetwork | undefined> {
  const found = await chooseConflist(conflistFolder(options.paths), options.config.network.conflist);
  if (found === undefined) return undefined;
  const own = found.own ? networkOf(found.conflist) : undefined;
  if (found.own && (own === undefined || !(await interfaceExists(own.bridge)))) return undefined;
  return ports.isBuiltFor(own) ? { found, own } : undefined;
}

/** Removes what `buildNode` made, except the conflist and the kernel's forwarding, which others may rely on by now. */
export async function removeNode(options: NodeOptions, ports: PortTable, signal: AbortSignal): Promise<void> {
  const { exec, paths, config } = options;
  const found = await chooseConflist(conflistFolder(paths), undefined).catch(() => undefined); // a broken one changes nothing here
  const own =
    (found?.own ? networkOf(found.conflist) : undefined) ?? ownNetwork(paths.rootId, config.network.subnet, 0);
  await ports.drop(signal);
  await withdrawForwarding(exec, own, signal);
  const bridge = bridgeName(paths.rootId);
  if (await interfaceExists(bridge)) await removeInterface(exec, bridge, signal);
}
