import { access, readFile, writeFile } from "node:fs/promises";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import type { OwnNetwork } from "./own-conflist.ts";
import type { Exec } from "./plugin.ts";

/**
 * Makes the bridge, with its address, before the first pod: the plugin would do it too, but two ADDs at once then
 * race for it, and route_localnet can only be set on an interface that is there. One that is there is left as it is.
 * @throws network-failed, command-missing
 */
export async function ensureBridge(
  exec: Exec,
  network: OwnNetwork,
  rootId: string,
  signal: AbortSignal,
): Promise<void> {
  const { bridge, gateway, subnet, mtu } = network;
  if (!(await interfaceExists(bridge))) {
    // An address of its own, so that it doesn't change with the pods that come and go (a bridge else takes its lowest port's).
    const mac = `02:67:6e:${(rootId || "000000").replaceAll(/(..)(?=.)/g, "$1:")}`;
    const commands = [
      `link add ${bridge} address ${mac} mtu ${mtu} type bridge`,
      `address add ${gateway}/${subnet.split("/")[1]} brd + dev ${bridge}`,
      `link set ${bridge} up`,
    ];
    await exec("ip", ["-batch", "-"], { input: `${commands.join("\n")}\n`, signal }).catch(async (error: unknown) => {
      await removeInterface(exec, bridge, AbortSignal.timeout(5000));
      throw new GantryError("network-failed", `cannot make the bridge ${bridge}: ${messageOf(error)}`, {
        kind: "system",
        cause: error,
        hint: "Making interfaces needs root (CAP_NET_ADMIN) and the kernel module 'bridge'; run 'gantry doctor'.",
      });
    });
  }
  await allowLoopbackSource(bridge);
}

/** Lets packets with a source on 127.0.0.0/8 out on `name`: what 127.0.0.1:hostPort needs. ip-sysctl.rst, route_localnet. */
export async function allowLoopbackSource(name: string): Promise<void> {
  await setSysctl(`net/ipv4/conf/${name}/route_localnet`, "1");
}

/** @throws network-failed where the kernel's forwarding is off and can't be turned on */
export async function enableForwarding(): Promise<void> {
  await setSysctl("net/ipv4/ip_forward", "1");
}

async function setSysctl(name: string, value: string): Promise<void> {
  const file = `/proc/sys/${name}`;
  try {
    // Writing ip_forward again would reset other settings: only where it differs.
    if ((await readFile(file, "utf8")).trim() !== value) await writeFile(file, value);
  } catch (cause) {
    throw new GantryError(
      "network-failed",
      `cannot set ${name.replaceAll("/", ".")} to ${value}: ${messageOf(cause)}`,
      {
        kind: "system",
        cause,
        hint: "Run the daemon as root with a writable /proc/sys.",
      },
    );
  }
}

export async function interfaceExists(name: string): Promise<boolean> {
  return access(`/sys/class/net/${name}`).then(
    () => true,
    () => false,
  );
}

/** Bytes; undefined when there is no such interface. */
export async function mtuOf(name: string): Promise<number | undefined> {
  try {
    return Number(await readFile(`/sys/class/net/${name}/mtu`, "utf8"));
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

/** One that is gone is fine. */
export async function removeInterface(exec: Exec, name: string, signal: AbortSignal): Promise<void> {
  await exec("ip", ["link", "del", name], { signal }).catch(async (error: unknown) => {
    if (await interfaceExists(name)) throw error;
  });
}
