import { forgetUdpTargets, type UdpTarget } from "../network/conntrack.ts";
import type { Exec } from "../network/plugin.ts";
import { portKey, type Served } from "./contract.ts";
import { type ServiceTable, serviceTableText, targetsOf } from "./rules.ts";

export interface Wanted extends ServiceTable {
  /** The pods' bridge, over which the host itself reaches Services: its address is the source. */
  readonly route: { readonly bridge: string; readonly source: string } | undefined;
}

/** The rules and the route on the host that lead to Services. One change at a time: the keeper sees to that. */
export class HostRules {
  readonly #exec: Exec;
  readonly #table: string;
  #applied: { readonly text: string; readonly wanted: Wanted } | undefined;
  #routed = false;

  constructor(exec: Exec, table: string) {
    this.#exec = exec;
    this.#table = table;
  }

  /** Makes the host so, where it is not. @throws GantryError command-missing, command-failed */
  async apply(wanted: Wanted, signal: AbortSignal): Promise<void> {
    const text = serviceTableText(wanted);
    const before = this.#applied;
    if (before?.text === text) return;
    await this.#exec("nft", ["-f", "-"], { input: text, signal });
    this.#applied = { text, wanted };
    if (!this.#routed) await this.#ensureRoute(wanted, signal);
    await forgetUdpTargets(this.#exec, lost(before?.wanted.services ?? [], wanted.services), signal);
  }

  /** Looks whether somebody changed them behind our back. @returns what was put right */
  async mend(signal: AbortSignal): Promise<string[]> {
    const applied = this.#applied;
    if (applied === undefined) return [];
    const mended = (await this.#ensureRoute(applied.wanted, signal)) ? ["the route to Services"] : [];
    const { stdout } = await this.#exec("nft", ["list", "table", "ip", this.#table], { signal, okCodes: "any" });
    if (fingerprint(stdout) === fingerprint(applied.text)) return mended;
    this.#applied = undefined;
    await this.apply(applied.wanted, signal);
    return [...mended, "the nft table of Services"];
  }

  /** The route goes with the bridge. */
  async remove(signal: AbortSignal): Promise<void> {
    const text = `add table ip ${this.#table}\ndelete table ip ${this.#table}\n`;
    await this.#exec("nft", ["-f", "-"], { input: text, signal });
    this.#applied = undefined;
  }

  /** @returns true when it was not there */
  async #ensureRoute({ route, range, services }: Wanted, signal: AbortSignal): Promise<boolean> {
    if (route === undefined || range === undefined || services.length === 0) return false;
    const { stdout } = await this.#exec("ip", ["-4", "route", "show", range], { signal });
    this.#routed = true;
    if (stdout.includes(`dev ${route.bridge} `)) return false;
    await this.#exec("ip", ["route", "replace", range, "dev", route.bridge, "src", route.source], { signal });
    return true;
  }
}

/** Chains, where they lead, and every address and port: what says in any wording and order whether a table is the same. */
export function fingerprint(text: string): string {
  const parts =
    text.match(/\b(?:chain|goto|jump) \w+|\b\d+\.\d+\.\d+\.\d+(?:\/\d+)?(?: \. \w+)*|\b\w+ \. \d+ : goto/g) ?? [];
  return parts.sort().join("\n");
}

/** Where UDP of Services went before, and does not go any more. */
function lost(before: readonly Served[], after: readonly Served[]): UdpTarget[] {
  const still = new Set(after.flatMap(udpTargets).map((target) => JSON.stringify(target)));
  return before.flatMap(udpTargets).filter((target) => !still.has(JSON.stringify(target)));
}

function udpTargets({ resolved, clusterIP, nodePorts }: Served): UdpTarget[] {
  return resolved.ports.flatMap(({ port, protocol }) => {
    if (protocol !== "UDP") return [];
    const nodePort = nodePorts[portKey({ port, protocol })];
    return targetsOf(resolved.endpoints, port, protocol).flatMap(({ ip }): UdpTarget[] => [
      ...(clusterIP === undefined ? [] : [{ address: clusterIP, port, pod: ip }]),
      ...(nodePort === undefined ? [] : [{ address: undefined, port: nodePort, pod: ip }]),
    ]);
  });
}
