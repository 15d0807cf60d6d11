import { type AddressInfo, createServer, isIP, type Server, type Socket } from "node:net";
import type { ApiClient } from "../../api/client.ts";
import type { PodObject } from "../../api/contract.ts";
import { formatListen } from "../../config/listen.ts";
import { errnoOf, GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { oneLine } from "../output/text.ts";
import { type PortPair, parsePortPair } from "../parse/ports.ts";
import { findPod, keyOfPod, namespaceOf } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const portForward: CommandSpec = {
  summary: "Reach ports of a pod from here",
  description:
    "Listens here, and connects whoever calls to the pod: to what listens on its loopback address, too. Goes on until\n" +
    "Ctrl-C, and over restarts of the pod. With --host the ports of a pod on another machine come to this one.",
  arguments: [
    { syntax: "<pod>", description: "NAME, NAMESPACE/NAME or pod/NAME", complete: "pod" },
    { syntax: "<ports...>", description: "[LOCAL:]REMOTE; REMOTE is a number or the name of a port" },
  ],
  options: [
    { flags: "--address <list>", description: "where to listen, with commas between (default: 127.0.0.1 and ::1)" },
  ],
  outputs: [],
  examples: [
    { line: "gantry port-forward web 8080:80", does: "then: curl http://localhost:8080" },
    { line: "gantry port-forward web :80", does: "at a port that is free; it says which" },
    { line: "gantry port-forward db 5432 --address 0.0.0.0", does: "for other machines, too" },
  ],
  run,
};

const LOOPBACK = ["127.0.0.1", "::1"];

async function run({ args, flags, context }: Call): Promise<undefined> {
  const [podArgument = "", ...texts] = args;
  const pairs = texts.map(parsePortPair);
  const addresses = addressesOf(flags.text("address"));
  const client = await context.client();
  const pod = await findPod(client, context, podArgument);
  const listening: Forwarding[] = [];
  /** What no other caller would fare better with. */
  const hopeless = Promise.withResolvers<never>();
  hopeless.promise.catch(() => {});
  try {
    for (const pair of pairs) {
      const port = portOf(pod, pair.remote);
      const onConnection = (socket: Socket): void =>
        void join(client, context, pod, port, socket).catch(hopeless.reject);
      const made = await listenAt(addresses, pair, onConnection);
      listening.push(...made);
      for (const { at } of made) context.out.line(`Forwarding from ${at} -> ${port}`);
    }
    await Promise.race([aborted(context.signal), hopeless.promise]);
  } finally {
    for (const { close } of listening) close();
  }
  return undefined;
}

/** @throws GantryError usage */
function addressesOf(text: string | undefined): readonly string[] {
  if (text === undefined) return LOOPBACK;
  const all = [...new Set(text.split(",").flatMap((one) => (one.trim() === "localhost" ? LOOPBACK : [one.trim()])))];
  const bad = all.find((one) => isIP(one) === 0);
  if (bad === undefined) return all;
  throw new GantryError("usage", `--address '${bad}' is not an address`, {
    hint: "For example: --address localhost,10.0.0.5",
  });
}

/** @throws GantryError not-found, for a name that no container gives to a TCP port */
function portOf(pod: PodObject, remote: number | string): number {
  if (typeof remote === "number") return remote;
  const ports = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].flatMap((one) => one.ports ?? []);
  const found = ports.find(({ name, protocol = "TCP" }) => name === remote && protocol === "TCP");
  if (found !== undefined) return found.containerPort;
  const names = ports.flatMap(({ name, protocol = "TCP" }) => (name === undefined || protocol !== "TCP" ? [] : [name]));
  throw new GantryError("not-found", `pod ${keyOfPod(pod)} has no TCP port called '${remote}'`, {
    hint: names.length === 0 ? "It names none: give its number." : `It has: ${names.join(", ")}.`,
  });
}

interface Forwarding {
  /** "127.0.0.1:8080" */
  readonly at: string;
  close(): void;
}

/** Listens at every address, at the same port. An IPv6 that this host does not have is left out where nobody asked for it. */
async function listenAt(
  addresses: readonly string[],
  { local, remote }: PortPair,
  onConnection: (socket: Socket) => void,
): Promise<Forwarding[]> {
  const all: Forwarding[] = [];
  let port = local;
  try {
    for (const host of addresses) {
      const server = createServer({ allowHalfOpen: true }, onConnection);
      const found = await listen(server, host, port).catch((error: unknown) => {
        if (addresses === LOOPBACK && host === "::1" && /^(EADDRNOTAVAIL|EAFNOSUPPORT)$/.test(errnoOf(error) ?? ""))
          return undefined;
        throw cannotListen(formatListen({ host, port }), remote, error);
      });
      if (found === undefined) continue;
      port = found;
      all.push({ at: formatListen({ host, port }), close: () => void server.close() });
    }
  } catch (error) {
    for (const { close } of all) close();
    throw error;
  }
  return all;
}

function listen(server: Server, host: string, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port, ipv6Only: host.includes(":") }, () => resolve((server.address() as AddressInfo).port));
  });
}

function cannotListen(at: string, remote: number | string, cause: unknown): GantryError {
  switch (errnoOf(cause)) {
    case "EADDRINUSE":
      return new GantryError("port-in-use", `${at} is taken`, {
        cause,
        hint: `Choose another, or any that is free: :${remote}`,
      });
    case "EACCES":
      return new GantryError("access-denied", `${at}: no permission for this port`, {
        cause,
        hint: `Ports below 1024 are root's; choose another, or any that is free: :${remote}`,
      });
    default:
      return new GantryError("network-failed", `can't listen at ${at}: ${messageOf(cause)}`, {
        cause,
        hint: "See 'ip address'.",
      });
  }
}

/**
 * Joins one caller with the pod. What goes wrong is told, and the next may call.
 * @throws GantryError access-denied
 */
async function join(client: ApiClient, context: Context, pod: PodObject, port: number, socket: Socket): Promise<void> {
  const gone = new AbortController();
  const signal = AbortSignal.any([context.signal, gone.signal]);
  socket.on("error", () => {}); // its end tells it all
  socket.once("close", () => gone.abort());
  signal.addEventListener("abort", () => socket.destroy(), { once: true });
  const tell = (error: unknown): void => {
    if (signal.aborted) return;
    const hint = isGantryError(error) && error.hint !== undefined ? ` (${error.hint})` : "";
    context.out.note(oneLine(`port ${port}: ${messageOf(error)}${hint}`));
  };
  try {
    const connection = await client.forward(namespaceOf(pod), pod.metadata.name, port, signal);
    connection.on("error", (error) => {
      tell(error);
      socket.destroy();
    });
    connection.once("close", () => socket.destroySoon());
    socket.once("close", () => connection.destroy());
    socket.pipe(connection).pipe(socket);
  } catch (error) {
    socket.destroy();
    if (isGantryError(error, "access-denied")) throw error;
    tell(error);
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
