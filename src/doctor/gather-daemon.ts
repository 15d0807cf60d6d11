import { readdir } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { accessDir, serverKeyEnds } from "../api/access/keys.ts";
import { createApiClient } from "../api/client.ts";
import { type Config, parseListen } from "../config/index.ts";
import { interfaceExists } from "../network/bridge.ts";
import { bridgeName, networkName } from "../network/own-conflist.ts";
import { mountsBelow } from "../sandbox/namespace/mounts.ts";
import { namesFolder } from "../service/dns-server.ts";
import { errnoOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import type { ApiFacts, DaemonFacts } from "./facts.ts";
import { said, text } from "./gather.ts";

const ANSWER_MS = 2000;

export async function gatherDaemon(
  paths: Paths,
  { api }: Config,
  root: boolean,
  signal: AbortSignal,
): Promise<DaemonFacts> {
  const [pid, answers] = await Promise.all([daemonPid(paths.lockFile), answersAt(paths.socket)]);
  const runs = answers || pid !== undefined;
  const pressure = answers && root ? await pressureAt(paths.socket) : [];
  const leftovers = runs ? [] : await findLeftovers(paths, root, signal);
  return { pid, answers, pressure, leftovers, api: await apiFacts(paths, api.listen, answers && root, signal) };
}

/** The process that the lock file names, if it lives and may be a daemon: ids are used again. */
async function daemonPid(lockFile: string): Promise<number | undefined> {
  const pid = Number.parseInt(await text(lockFile), 10);
  if (!Number.isSafeInteger(pid) || pid <= 0) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (errnoOf(error) !== "EPERM") return undefined;
  }
  const command = await text(`/proc/${pid}/cmdline`);
  return command.includes("daemon") || command.includes("gantry") ? pid : undefined;
}

function answersAt(socket: string | { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = typeof socket === "string" ? connect(socket) : connect(socket);
    const end = (answer: boolean): void => {
      connection.destroy();
      resolve(answer);
    };
    connection.setTimeout(ANSWER_MS, () => end(false));
    connection.once("connect", () => end(true));
    connection.once("error", (error) => end(errnoOf(error) === "EACCES")); // not ours to ask, but somebody listens
  });
}

async function pressureAt(socketPath: string): Promise<string[]> {
  const nodes = await createApiClient({ socketPath })
    .listNodes()
    .catch(() => ({ items: [] }));
  return nodes.items.flatMap(({ status: { conditions } }) =>
    conditions.flatMap(({ type, status }) => (status === "True" && type.endsWith("Pressure") ? [type] : [])),
  );
}

async function apiFacts(
  paths: Paths,
  listen: string | undefined,
  mayAsk: boolean,
  signal: AbortSignal,
): Promise<ApiFacts | undefined> {
  const at = listen === undefined ? undefined : parseListen(listen);
  if (listen === undefined || at === undefined) return undefined;
  const host = at.host === "0.0.0.0" ? "127.0.0.1" : at.host === "::" ? "::1" : at.host;
  const [taken, served, certificateEnds, openssl] = await Promise.all([
    answersAt({ host, port: at.port }),
    mayAsk ? servedAt(paths.socket) : undefined,
    serverKeyEnds(accessDir(paths)).catch(() => undefined),
    said("openssl", ["version"], signal),
  ]);
  const port = !taken ? "free" : served === listen ? "gantry" : "taken";
  return { listen, port, certificateEnds, openssl: openssl !== undefined };
}

async function servedAt(socketPath: string): Promise<string | undefined> {
  const info = await createApiClient({ socketPath })
    .daemonInfo()
    .catch(() => undefined);
  return info?.listen;
}

async function findLeftovers(paths: Paths, root: boolean, signal: AbortSignal): Promise<string[]> {
  const bridge = bridgeName(paths.rootId);
  const table = networkName(paths.rootId);
  const count = async (folder: string): Promise<number> => (await readdir(folder).catch(() => [])).length;
  const [networks, sandboxes] = await Promise.all([
    count(join(paths.run, "network")),
    count(join(paths.run, "sandboxes")),
  ]);
  const mounts = mountsBelow(paths.run).length;
  const hasTable = root && (await said("nft", ["list", "table", "ip", table], signal)) !== undefined;
  return [
    ...(sandboxes > 0 ? [`${sandboxes} sandboxes`] : []),
    ...(networks > 0 ? [`${networks} pod networks`] : []),
    ...(mounts > 0 ? [`${mounts} mounts under ${paths.run}`] : []),
    ...((await interfaceExists(bridge)) ? [`bridge ${bridge}`] : []),
    ...(hasTable ? [`nftables table ${table}`] : []),
    ...((await count(namesFolder(paths))) > 0 ? ["a name server (dnsmasq)"] : []),
  ];
}
