import type { RawData, WebSocket } from "ws";
import { formatListen } from "../../config/listen.ts";
import { GantryError } from "../../system/errors.ts";
import { errorOfStatus } from "../status-error.ts";
import { authorization, type Endpoint, isRemote, type LocalEndpoint, tlsOptions } from "./endpoint.ts";
import { unreachable } from "./unreachable.ts";

/** A handshake of TLS and HTTP takes no longer where somebody is there. ms */
const CONNECT_WITHIN_MS = 20_000;
const MAX_ERROR_BYTES = 4 * 1024 * 1024;

/** A WebSocket that is not open yet: messages may come together with the answer to the upgrade, so listen first. */
export interface Opening {
  readonly socket: WebSocket;
  /** @throws the daemon's own error when it refuses; daemon-unreachable, cancelled */
  readonly opened: Promise<void>;
}

/** Begins a session of the API; it is cut off on abort. @throws GantryError cancelled */
export async function openSocket(
  endpoint: Endpoint,
  path: string,
  protocols: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Opening> {
  if (signal?.aborted) throw cancelled();
  // Loaded only here: the other commands must start fast.
  const { WebSocket: Socket } = await import("ws");
  const socket = isRemote(endpoint)
    ? new Socket(`wss://${formatListen(endpoint)}${path}`, [...protocols], {
        ...tlsOptions(endpoint),
        headers: authorization(endpoint),
        perMessageDeflate: false,
        handshakeTimeout: CONNECT_WITHIN_MS,
      })
    : await localSocket(Socket, endpoint, path, protocols);
  const onAbort = (): void => socket.terminate();
  signal?.addEventListener("abort", onAbort, { once: true });
  // The connection's end tells it all; an error without a listener would end the process.
  socket.on("error", () => {});
  socket.once("close", () => signal?.removeEventListener("abort", onAbort));
  const opened = untilOpen(socket, endpoint, signal);
  opened.catch(() => {}); // whoever awaits it later still learns of it
  return { socket, opened };
}

async function localSocket(
  Socket: typeof WebSocket,
  { socketPath }: LocalEndpoint,
  path: string,
  protocols: readonly string[],
): Promise<WebSocket> {
  // ws takes the socket's path and the path of the request as one address, with a colon between; a colon in the
  // former would be taken for it, so the connection is made by hand.
  const { connect } = await import("node:net");
  return new Socket(`ws://localhost${path}`, [...protocols], {
    createConnection: () => connect(socketPath),
    perMessageDeflate: false,
  });
}

function untilOpen(socket: WebSocket, endpoint: Endpoint, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once("open", resolve);
    socket.once("error", (cause) => reject(signal?.aborted ? cancelled() : unreachable(endpoint, cause)));
    socket.once("unexpected-response", (_request, response) => {
      const chunks: Buffer[] = [];
      let bytes = 0;
      response.on("data", (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes <= MAX_ERROR_BYTES) chunks.push(chunk);
      });
      response.on("close", () => {
        reject(errorOfStatus(Buffer.concat(chunks).toString("utf8"), response.statusCode ?? 0));
        socket.terminate();
      });
    });
  });
}

export function asBuffer(data: RawData): Buffer {
  if (Array.isArray(data)) return Buffer.concat(data);
  return data instanceof ArrayBuffer ? Buffer.from(data) : data;
}

export function cancelled(): GantryError {
  return new GantryError("cancelled", "the session was cancelled", { kind: "system" });
}
