import { createSocket } from "node:dgram";
import { readdir, readFile, readlink } from "node:fs/promises";
import { createServer, isIPv4 } from "node:net";
import type { PortMapping } from "../sandbox/driver.ts";
import { errnoOf, GantryError, messageOf } from "../system/errors.ts";
import { isAnyAddress } from "./port-rules.ts";
import type { AttachmentRecord } from "./records.ts";

/** Another pod that has one of these host ports. @throws port-in-use that names it */
export function checkAgainstPods(wanted: readonly PortMapping[], others: readonly AttachmentRecord[]): void {
  for (const mapping of wanted) {
    const holder = others.find((record) => record.portMappings.some((theirs) => collide(mapping, theirs)));
    if (holder !== undefined) throw inUse(mapping, `pod ${holder.podNamespace}/${holder.podName}`);
  }
}

function collide(a: PortMapping, b: PortMapping): boolean {
  if (a.protocol !== b.protocol || a.hostPort !== b.hostPort) return false;
  return isAnyAddress(a.hostIP) || isAnyAddress(b.hostIP) || a.hostIP === b.hostIP;
}

/**
 * A process of the host that listens on one of these ports: forwarding would take its traffic away. Found by binding
 * the port for a moment (not possible for SCTP).
 * @throws port-in-use naming the process, network-failed when hostIP is none of the host's addresses, unsupported for IPv6
 */
export async function checkAgainstHost(wanted: readonly PortMapping[]): Promise<void> {
  await Promise.all(wanted.map(checkOne));
}

async function checkOne(mapping: PortMapping): Promise<void> {
  const address = isAnyAddress(mapping.hostIP) ? "0.0.0.0" : (mapping.hostIP ?? "0.0.0.0");
  if (!isIPv4(address)) {
    throw new GantryError("unsupported", `hostIP ${address} of host port ${mapping.hostPort} is not IPv4`, {
      hint: "Pods have IPv4 addresses only: use an IPv4 hostIP, or none.",
    });
  }
  try {
    if (mapping.protocol === "TCP") await bindTcp(address, mapping.hostPort);
    else if (mapping.protocol === "UDP") await bindUdp(address, mapping.hostPort);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EADDRINUSE") throw inUse(mapping, (await listenerOf(mapping)) ?? "another process");
    if (errno === "EADDRNOTAVAIL") {
      throw new GantryError(
        "network-failed",
        `hostIP ${address} of host port ${mapping.hostPort} is no address of this host`,
        { hint: "Use one of 'ip address', or leave hostIP out." },
      );
    }
    throw new GantryError(
      "network-failed",
      `host port ${mapping.hostPort} (${mapping.protocol}) can't be used: ${messageOf(error)}`,
      { kind: "system", cause: error },
    );
  }
}

function bindTcp(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy());
    server.once("error", reject);
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve()));
  });
}

function bindUdp(address: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = createSocket("udp4");
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve()));
  });
}

function inUse({ hostIP, hostPort, protocol }: PortMapping, holder: string): GantryError {
  const where = isAnyAddress(hostIP) ? `${hostPort}` : `${hostIP}:${hostPort}`;
  return new GantryError("port-in-use", `host port ${where} (${protocol}) is in use by ${holder}`, {
    hint: "Choose another hostPort, or stop what uses it.",
    details: { hostPort, protocol, holder },
  });
}

/** "nginx (pid 123)", of the socket that listens there; undefined when /proc doesn't tell. */
async function listenerOf({ hostPort, protocol }: PortMapping): Promise<string | undefined> {
  const tables = protocol === "TCP" ? ["tcp", "tcp6"] : ["udp", "udp6"];
  const texts = await Promise.all(tables.map((name) => readFile(`/proc/net/${name}`, "utf8").catch(() => "")));
  const inodes = texts.flatMap((text) => listeningInodes(text, hostPort, protocol));
  const pid = await holderOf(new Set(inodes.map((inode) => `socket:[${inode}]`)));
  if (pid === undefined) return undefined;
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return `${name.trim() || "a process"} (pid ${pid})`;
}

/** proc(5), /proc/net/tcp: local address is field 2, state field 4 (0A = LISTEN, 07 = an unconnected UDP socket), inode field 10. */
export function listeningInodes(table: string, port: number, protocol: "TCP" | "UDP" | "SCTP"): string[] {
  const state = protocol === "TCP" ? "0A" : "07";
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").flatMap((line) => {
    const fields = line.trim().split(/\s+/);
    const inode = fields[9];
    return inode !== undefined && fields[3] === state && fields[1]?.endsWith(`:${hexPort}`) ? [inode] : [];
  });
}

async function holderOf(sockets: ReadonlySet<string>): Promise<string | undefined> {
  if (sockets.size === 0) return undefined;
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const fds = await readdir(`/proc/${pid}/fd`).catch(() => []);
    const links = await Promise.all(fds.map((fd) => readlink(`/proc/${pid}/fd/${fd}`).catch(() => "")));
    if (links.some((link) => sockets.has(link))) return pid;
  }
  return undefined;
}
