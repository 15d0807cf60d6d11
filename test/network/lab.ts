import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConfigLayer, defaultConfig } from "../../src/config/index.ts";
import { createPodNetwork, type NetworkResult, type PodNetwork } from "../../src/network/index.ts";
import { bridgeName, networkName } from "../../src/network/own-conflist.ts";
import type { PortMapping } from "../../src/sandbox/driver.ts";
import { exec } from "../../src/system/exec.ts";
import { silentLogger } from "../../src/system/log.ts";
import { layout, type Paths } from "../../src/system/paths.ts";

export const signal = (): AbortSignal => AbortSignal.timeout(30_000);

/** A root with real network namespaces, bridges and plugins; `close` removes every trace and says what was left. */
export class Lab {
  readonly paths: Paths;
  readonly bridge: string;
  readonly table: string;
  readonly #namespaces: string[] = [];
  readonly #children: ChildProcess[] = [];
  #counter = 0;

  private constructor(paths: Paths) {
    this.paths = paths;
    this.bridge = bridgeName(paths.rootId);
    this.table = networkName(paths.rootId);
  }

  static async open(): Promise<Lab> {
    return new Lab(layout(await mkdtemp(join(tmpdir(), "gantry-network-"))));
  }

  /** A network as a daemon that was just started has it. */
  network(settings: ConfigLayer["network"] = {}, run: typeof exec = exec): PodNetwork {
    const defaults = defaultConfig(this.paths);
    const config = { ...defaults, network: { ...defaults.network, ...(settings as object) } };
    return createPodNetwork({ paths: this.paths, config, log: silentLogger(), exec: run });
  }

  /** The path of a new network namespace. */
  async netns(): Promise<string> {
    const name = `gt${this.paths.rootId}-${this.#counter++}`;
    await exec("ip", ["netns", "add", name]);
    this.#namespaces.push(name);
    return `/run/netns/${name}`;
  }

  async removeNetns(path: string): Promise<void> {
    await exec("ip", ["netns", "del", path.replace("/run/netns/", "")]);
  }

  async attach(
    network: PodNetwork,
    id: string,
    netns: string,
    portMappings: PortMapping[] = [],
  ): Promise<NetworkResult> {
    return network.attach({ sandboxId: id, podNamespace: "default", podName: id, netns, portMappings }, signal());
  }

  /** A pod's app: answers every connection on `port` with the address that it came from. */
  serve(netns: string | undefined, port: number, protocol: "TCP" | "UDP" = "TCP"): void {
    const listener = protocol === "TCP" ? `TCP4-LISTEN:${port},fork,reuseaddr` : `UDP4-RECVFROM:${port},fork`;
    const socat = ["socat", listener, 'SYSTEM:read x; echo "$SOCAT_PEERADDR"'];
    const [command = "", ...args] = netns === undefined ? socat : ["nsenter", `--net=${netns}`, ...socat];
    this.#children.push(spawn(command, args, { stdio: "ignore", detached: true }));
  }

  /** What `target` answers; tries again until it does or `deadlineMs` is over. */
  async ask(
    from: string | undefined,
    target: string,
    protocol: "TCP" | "UDP" = "TCP",
    deadlineMs = 10_000,
  ): Promise<string | undefined> {
    const end = Date.now() + deadlineMs;
    const socat = [
      "socat",
      "-T",
      "2",
      "-t",
      "2",
      "-",
      `${protocol}4:${target}${protocol === "TCP" ? ",connect-timeout=1" : ""}`,
    ];
    const [command = "", ...args] = from === undefined ? socat : ["nsenter", `--net=${from}`, ...socat];
    do {
      const { stdout } = await exec(command, args, { input: "hello\n", okCodes: "any" });
      if (stdout.trim() !== "") return stdout.trim();
      await new Promise((resolve) => setTimeout(resolve, 50));
    } while (Date.now() < end);
    return undefined;
  }

  /** Another machine: a namespace joined to the host by a cable. */
  async neighbour(): Promise<{ readonly netns: string; readonly hostIP: string; readonly ip: string }> {
    const netns = await this.netns();
    const octet = Number.parseInt(this.paths.rootId.slice(0, 2), 16);
    const [hostIP, ip] = [`198.18.${octet}.${1 + 4 * this.#counter}`, `198.18.${octet}.${2 + 4 * this.#counter}`];
    const cable = `gtx${this.paths.rootId}`;
    await exec("ip", [
      "link",
      "add",
      cable,
      "type",
      "veth",
      "peer",
      "name",
      "eth0",
      "netns",
      netns.replace("/run/netns/", ""),
    ]);
    await exec("ip", ["address", "add", `${hostIP}/30`, "dev", cable]);
    await exec("ip", ["link", "set", cable, "up"]);
    await exec("nsenter", [
      `--net=${netns}`,
      "sh",
      "-c",
      `ip address add ${ip}/30 dev eth0; ip link set eth0 up; ip route add default via ${hostIP}`,
    ]);
    return { netns, hostIP, ip };
  }

  async leases(): Promise<string[]> {
    const names = await readdir(join(this.paths.run, "cni-leases", this.table)).catch(() => []);
    return names.filter((name) => /^[\d.]+$/.test(name));
  }

  async records(): Promise<string[]> {
    return readdir(join(this.paths.run, "network")).catch(() => []);
  }

  async rules(): Promise<string> {
    return (await exec("nft", ["list", "table", "ip", this.table], { okCodes: "any" })).stdout;
  }

  async bridgePorts(): Promise<string[]> {
    return readdir(`/sys/class/net/${this.bridge}/brif`).catch(() => []);
  }

  /** Everything on this host that carries the lab's name. */
  async traces(): Promise<string[]> {
    const tables = (await exec("nft", ["list", "tables"])).stdout
      .split("\n")
      .filter((line) => line.includes(this.table));
    const links = (await readdir("/sys/class/net")).filter((name) => name === this.bridge);
    const firewall = (await exec("iptables", ["-w", "5", "-S"])).stdout
      .split("\n")
      .filter((line) => line.includes(this.bridge));
    return [...tables, ...links, ...firewall, ...(await this.leases()), ...(await this.records())];
  }

  async close(): Promise<void> {
    for (const child of this.#children) {
      if (child.pid !== undefined && child.exitCode === null) {
        try {
          process.kill(-child.pid, "SIGKILL");
        } catch {
          // it has ended
        }
      }
    }
    for (const name of this.#namespaces) await exec("ip", ["netns", "del", name], { okCodes: "any" });
    await exec("ip", ["link", "del", this.bridge], { okCodes: "any" });
    await exec("nft", ["delete", "table", "ip", this.table], { okCodes: "any" });
    await rm(this.paths.root, { recursive: true, force: true });
  }
}

/** An address of this host that is not on loopback. */
export async function hostAddress(): Promise<string> {
  const { stdout } = await exec("ip", ["-4", "-o", "route", "get", "192.0.2.254"]);
  const match = /src (\S+)/.exec(stdout);
  if (match?.[1] === undefined) throw new Error("this host has no address");
  return match[1];
}

/** Every call of a process gets another block, so that ports which only rules know of are not given twice. */
const PORTS_PER_CALL = 32;
let nextPort = 20_000 + PORTS_PER_CALL * Math.floor(Math.random() * 250);

/** A port of the host that nothing uses now; the few after it belong to the caller, too. */
export async function freePort(): Promise<number> {
  const used = await readFile("/proc/net/tcp", "utf8");
  for (;;) {
    const port = nextPort;
    nextPort = port + PORTS_PER_CALL < 30_000 ? port + PORTS_PER_CALL : 20_000;
    if (!used.includes(`:${port.toString(16).toUpperCase()}`)) return port;
  }
}
