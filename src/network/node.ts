import { type Config, defaultSubnet } from "../config/index.ts";
import { GantryError } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import { mtuOf, removeInterface } from "./bridge.ts";
import { chooseConflist, type FoundConflist } from "./conflist.ts";
import { conflistFolder, networkOf, type OwnNetwork, ownNetwork, writeOwnConflist } from "./own-conflist.ts";
import type { Exec } from "./plugin.ts";
import { conflictingRoute, defaultInterface, type Route, readRoutes, widerRoute } from "./routes.ts";

export interface NodeOptions {
  readonly paths: Paths;
  readonly config: Config;
  readonly log: Logger;
  readonly exec: Exec;
}

/** The network that pods are to join; `own` when it is Gantry's. */
export interface NodeNetwork {
  readonly found: FoundConflist;
  readonly own: OwnNetwork | undefined;
}

const DEFAULT_MTU = 1500;
/** Ranges that a root tries when its own is taken. */
const SUBNET_TRIES = 64;

/**
 * Finds the network to use, and writes Gantry's own conflist where there is no other, or where the configuration
 * changed. While pods are attached the old one stays: its range is in use.
 * @throws network-failed
 */
export async function prepareConflist(options: NodeOptions, inUse: boolean, signal: AbortSignal): Promise<NodeNetwork> {
  const { paths, config, log } = options;
  const found = await chooseConflist(conflistFolder(paths), config.network.conflist);
  if (found !== undefined && !found.own) return { found, own: undefined };
  const current = found === undefined ? undefined : networkOf(found.conflist);
  const wanted = await planNetwork(options, current, signal);
  if (found !== undefined && current !== undefined && (inUse || same(current, wanted))) {
    if (!same(current, wanted)) log.warn({ current, wanted }, "the pods' network changes once no pod is running");
    return { found, own: current };
  }
  if (current !== undefined) await removeInterface(options.exec, current.bridge, signal); // it still has the old address
  await writeOwnConflist(paths, wanted);
  const written = await chooseConflist(conflistFolder(paths), config.network.conflist);
  if (written === undefined)
    throw new GantryError("network-failed", `the CNI network in ${conflistFolder(paths)} is gone again`, {
      kind: "system",
    });
  return { found: written, own: wanted };
}

const same = (a: OwnNetwork, b: OwnNetwork): boolean =>
  a.subnet === b.subnet && a.mtu === b.mtu && a.bridge === b.bridge && a.name === b.name;

/** Range and MTU for Gantry's own network, in view of what the host already routes. */
async function planNetwork(
  options: NodeOptions,
  current: OwnNetwork | undefined,
  signal: AbortSignal,
): Promise<OwnNetwork> {
  const { paths, config, log, exec } = options;
  const routes = await readRoutes(exec, signal);
  const subnet = chooseSubnet(paths.rootId, config.network.subnet, current, routes);
  const { bridge } = ownNetwork(paths.rootId, subnet, 0);
  const wider = widerRoute(subnet, routes, bridge);
  if (wider !== undefined)
    log.warn({ subnet, route: wider.dst }, "pods hide a part of a network that this host routes elsewhere");
  const outside = defaultInterface(routes);
  const mtu = config.network.mtu || (outside === undefined ? undefined : await mtuOf(outside)) || DEFAULT_MTU;
  return ownNetwork(paths.rootId, subnet, mtu);
}

/**
 * The configured range, if the host has no such network already. A range that nobody chose (see `defaultSubnet`)
 * gives way to the next one; what was chosen so before stays.
 * @throws network-failed that names the route
 */
export function chooseSubnet(
  rootId: string,
  configured: string,
  current: OwnNetwork | undefined,
  routes: readonly Route[],
): string {
  const { bridge } = ownNetwork(rootId, configured, 0);
  const candidates =
    rootId !== "" && configured === defaultSubnet(rootId)
      ? Array.from({ length: SUBNET_TRIES }, (_, step) => defaultSubnet(rootId, step))
      : [configured];
  if (current !== undefined && candidates.includes(current.subnet)) return current.subnet;
  const free = candidates.find((candidate) => conflictingRoute(candidate, routes, bridge) === undefined);
  if (free !== undefined) return free;
  const taken = conflictingRoute(configured, routes, bridge);
  throw new GantryError(
    "network-failed",
    `the pods' range ${configured} overlaps ${taken?.dst} (${taken?.dev}) of this host`,
    {
      hint: "Choose another range: network.subnet in config.yaml, e.g. 10.78.0.0/16.",
      details: { subnet: configured, route: taken },
    },
  );
}
