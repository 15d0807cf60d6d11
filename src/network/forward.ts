import { isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { OwnNetwork } from "./own-conflist.ts";
import type { Exec } from "./plugin.ts";

/**
 * Forwarding past other people's firewalls. A packet has to be accepted in every table that filters the forward hook,
 * so accepting it in ours is not enough: Docker sets the policy of iptables' FORWARD to DROP, firewalld rejects what
 * is in none of its zones.
 */

/** What `iptables -S` says about forwarding. */
export interface ForwardRules {
  /** True when pods' packets need a rule of ours. */
  readonly needed: boolean;
  /** True when our rules are there. */
  readonly present: boolean;
}

export function readForwardRules(listing: string, bridge: string): ForwardRules {
  const lines = listing.split("\n");
  return {
    needed: lines.includes("-P FORWARD DROP") || lines.includes("-N DOCKER-USER"),
    present: forwardRules(bridge).every((rule) =>
      lines.some((line) => line.startsWith("-A FORWARD ") && matches(line, rule)),
    ),
  };
}

/** Interfaces as iptables' arguments, in the order in which `iptables -S` prints them. */
function forwardRules(bridge: string): string[][] {
  return [
    ["-i", bridge],
    ["-o", bridge],
  ];
}

/** Questions of pods to the name server, which the host's own firewall may drop (ufw does), as `iptables -S` prints them. */
function questionRules({ bridge, gateway }: OwnNetwork): string[][] {
  return ["udp", "tcp"].map((protocol) =>
    ["-d", `${gateway}/32`, "-i", bridge, "-p", protocol, "-m", protocol].concat("--dport", "53"),
  );
}

/** The rules for questions that are there. */
function presentQuestionRules(listing: string, network: OwnNetwork): string[][] {
  const lines = listing.split("\n");
  return questionRules(network).filter((rule) => lines.includes(`-A INPUT ${rule.join(" ")} -j ACCEPT`));
}

const matches = (line: string, rule: readonly string[]): boolean =>
  line.includes(` ${rule.join(" ")} `) && line.endsWith("-j ACCEPT");

/** Makes sure that pods' packets are forwarded. Where a firewall tool fails, that is logged: pods still reach the host and each other. */
export async function acceptForwarding(
  exec: Exec,
  network: OwnNetwork,
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  try {
    const listing = await iptables(exec, ["-S"], signal);
    const rules = listing === undefined ? undefined : readForwardRules(listing, network.bridge);
    if (rules?.needed && !rules.present) {
      for (const rule of forwardRules(network.bridge))
        await iptables(exec, ["-I", "FORWARD", ...rule, "-j", "ACCEPT"], signal);
    }
    if (listing?.split("\n").includes("-P INPUT DROP") && presentQuestionRules(listing, network).length === 0) {
      for (const rule of questionRules(network)) await iptables(exec, ["-I", "INPUT", ...rule, "-j", "ACCEPT"], signal);
    }
    if (await firewalldRuns(exec, signal)) await firewalld(exec, "--add-source", network, signal);
  } catch (error) {
    if (isGantryError(error, "cancelled")) throw error;
    log.warn(
      { bridge: network.bridge, reason: messageOf(error) },
      "could not open the firewall for pods; they may not reach other networks",
    );
  }
}

/** Removes what `acceptForwarding` added. */
export async function withdrawForwarding(exec: Exec, network: OwnNetwork, signal: AbortSignal): Promise<void> {
  const listing = await iptables(exec, ["-S"], signal);
  if (listing !== undefined && readForwardRules(listing, network.bridge).present) {
    for (const rule of forwardRules(network.bridge))
      await iptables(exec, ["-D", "FORWARD", ...rule, "-j", "ACCEPT"], signal);
  }
  for (const rule of listing === undefined ? [] : presentQuestionRules(listing, network))
    await iptables(exec, ["-D", "INPUT", ...rule, "-j", "ACCEPT"], signal);
  if (await firewalldRuns(exec, signal)) await firewalld(exec, "--remove-source", network, signal);
}

/** @returns undefined when iptables is not installed: then nobody's rules are there either */
async function iptables(exec: Exec, args: readonly string[], signal: AbortSignal): Promise<string | undefined> {
  try {
    return (await exec("iptables", ["-w", "5", ...args], { signal })).stdout;
  } catch (error) {
    if (isGantryError(error, "command-missing")) return undefined;
    throw error;
  }
}

async function firewalldRuns(exec: Exec, signal: AbortSignal): Promise<boolean> {
  try {
    return (await exec("firewall-cmd", ["--state"], { signal, okCodes: "any" })).exitCode === 0;
  } catch (error) {
    if (isGantryError(error, "command-missing")) return false;
    throw error;
  }
}

/** firewall-cmd(1): code 11 is "already enabled", 12 "not enabled". */
async function firewalld(
  exec: Exec,
  option: "--add-source" | "--remove-source",
  network: OwnNetwork,
  signal: AbortSignal,
): Promise<void> {
  await exec("firewall-cmd", ["--zone=trusted", `${option}=${network.subnet}`], { signal, okCodes: [0, 11, 12] });
}
