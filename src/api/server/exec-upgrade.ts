import type { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { createWebSocketStream, type WebSocket, WebSocketServer } from "ws";
import type { ExecSession } from "../../sandbox/driver.ts";
import { GantryError, toGantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import type { ApiBackend } from "../contract.ts";
import { statusOfError } from "../status-error.ts";
import { serveExec } from "./exec-channel.ts";
import { serveExecOnSpdy } from "./exec-spdy.ts";
import type { Connect } from "./forward.ts";
import { serveForwardOnChannels } from "./forward-channel.ts";
import { serveForwardOnSpdy } from "./forward-spdy.ts";
import { chooseWire, readSessionRequest, type SessionRequest } from "./session-request.ts";

/** kubectl sends pieces of 32 KiB. Bytes. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
/** A client whose machine is gone is noticed after this, and some probes of the kernel's. ms */
const KEEP_ALIVE_MS = 30_000;

/** Takes exec, attach and port forwarding over WebSocket, and over SPDY/3.1 from older clients. */
export class ExecUpgrades {
  readonly #backend: ApiBackend;
  readonly #log: Logger;
  readonly #spdy = new Set<Duplex>();
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    handleProtocols: (_offered, request) => chooseWire(request).protocol,
  });
  /** Protocols whose names are none in a WebSocket's grammar (RFC 6455, 4.1), though kubectl speaks them. */
  readonly #unnamable = new WeakMap<IncomingMessage, string>();

  constructor(backend: ApiBackend, log: Logger) {
    this.#backend = backend;
    this.#log = log;
    this.#server.on("headers", (headers, request) => {
      const protocol = this.#unnamable.get(request);
      if (protocol !== undefined) headers.push(`Sec-WebSocket-Protocol: ${protocol}`);
    });
  }

  /** To be called on "upgrade" of the HTTP server. */
  readonly handle = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", (err) => this.#log.debug({ err }, "a session's connection failed"));
    try {
      this.#open(request, socket, head);
    } catch (error) {
      refuse(socket, toGantryError(error));
    }
  };

  /** Ends all sessions. */
  close(): void {
    for (const client of this.#server.clients) client.terminate();
    this.#server.close();
    for (const socket of this.#spdy) socket.destroy();
  }

  #open(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    // First of all, since what has no sessions speaks none of their protocols either.
    const wire = chooseWire(request);
    const session = readSessionRequest(request.url ?? "", this.#backend.pods());
    if (wire.protocol === "v4.channel.k8s.io" && session.verb === "portforward" && session.ports.length === 0) {
      throw new GantryError("usage", "no port is given", { hint: "Add ?ports=8080." });
    }
    if (socket instanceof Socket) socket.setKeepAlive(true, KEEP_ALIVE_MS);
    // Upgraded before anything is started, as Kubernetes does: only a connection that is read from shows its end.
    if (wire.over === "spdy") {
      switchToSpdy(socket, wire.protocol, head);
      this.#spdy.add(socket);
      socket.once("close", () => this.#spdy.delete(socket));
      this.#watch(this.#serveSpdy(socket, session), session, () => socket.destroy());
      return;
    }
    if (wire.protocol.includes("/")) {
      this.#unnamable.set(request, wire.protocol);
      delete request.headers["sec-websocket-protocol"];
    }
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      const served = this.#serveWebSocket(webSocket, session, wire.protocol);
      this.#watch(served, session, () => webSocket.terminate());
    });
  }

  #serveSpdy(socket: Duplex, session: SessionRequest): Promise<void> {
    if (session.verb === "portforward") return serveForwardOnSpdy(socket, this.#connect(session), this.#log);
    return serveExecOnSpdy(socket, (signal) => this.#start(session, signal), session, this.#log);
  }

  #serveWebSocket(webSocket: WebSocket, session: SessionRequest, protocol: string): Promise<void> {
    if (session.verb !== "portforward") {
      return serveExec(webSocket, (signal) => this.#start(session, signal), session, this.#log);
    }
    const connect = this.#connect(session);
    if (protocol === "v4.channel.k8s.io") {
      return serveForwardOnChannels(webSocket, session.ports, connect, this.#log);
    }
    return serveForwardOnSpdy(createWebSocketStream(webSocket), connect, this.#log);
  }

  #start(session: Exclude<SessionRequest, { verb: "portforward" }>, signal: AbortSignal): Promise<ExecSession> {
    const { namespace, name, container, stdin } = session;
    if (session.verb === "attach") return this.#backend.attach(namespace, name, container, { stdin }, signal);
    const { command, tty } = session;
    return this.#backend.exec(namespace, name, container, { command, tty, stdin }, signal);
  }

  #connect({ namespace, name }: SessionRequest): Connect {
    return (port, signal) => this.#backend.forwardPort(namespace, name, port, signal);
  }

  #watch(served: Promise<void>, { namespace, name, verb }: SessionRequest, cutOff: () => void): void {
    served.catch((err) => {
      this.#log.warn({ err, pod: `${namespace}/${name}` }, `${verb}: the session broke`);
      cutOff();
    });
  }
}

/** @param head what the client has sent already */
function switchToSpdy(socket: Duplex, protocol: string, head: Buffer): void {
  socket.write(
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n" +
      `X-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
  );
  if (head.length > 0) socket.unshift(head);
}

/** Answers over HTTP; the connection is still what it was. */
function refuse(socket: Duplex, error: GantryError): void {
  const status = statusOfError(error);
  const body = JSON.stringify(status);
  socket.end(
    `HTTP/1.1 ${status.code} ${status.reason ?? ""}\r\n` +
      "content-type: application/json\r\n" +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
