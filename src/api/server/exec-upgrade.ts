import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { GantryError, toGantryError } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { PROTOCOLS } from "../channels.ts";
import type { ApiBackend } from "../contract.ts";
import { statusOfError } from "../status-error.ts";
import { serveExec } from "./exec-channel.ts";
import { Query } from "./query.ts";

/** kubectl sends pieces of 32 KiB. Bytes. */
const MAX_MESSAGE_BYTES = 8 * 1024 * 1024;
const NOT_FOUND_HINT = "See 'gantry status' for what there is.";
const SESSION_PATH = /^\/api\/v1\/namespaces\/([^/]+)\/pods\/([^/]+)\/(exec|attach)$/;

/** Takes WebSocket requests of exec and attach. */
export class ExecUpgrades {
  readonly #backend: ApiBackend;
  readonly #log: Logger;
  readonly #server = new WebSocketServer({
    noServer: true,
    maxPayload: MAX_MESSAGE_BYTES,
    perMessageDeflate: false,
    // The first of ours that the client knows, not the first of the client's.
    handleProtocols: (offered) => PROTOCOLS.find((protocol) => offered.has(protocol)) ?? false,
  });

  constructor(backend: ApiBackend, log: Logger) {
    this.#backend = backend;
    this.#log = log;
  }

  /** To be called on "upgrade" of the HTTP server. */
  readonly handle = (request: IncomingMessage, socket: Duplex, head: Buffer): void => {
    socket.on("error", (err) => this.#log.debug({ err }, "exec: the connection failed"));
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
  }

  #open(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const url = request.url ?? "";
    const { namespace, name, verb } = target(url);
    checkProtocol(request);
    const pods = this.#backend.pods();
    if (!pods.some(({ metadata }) => metadata.namespace === namespace && metadata.name === name)) {
      throw new GantryError("not-found", `there is no Pod ${namespace}/${name}`, { hint: NOT_FOUND_HINT });
    }
    const query = new Query(url);
    const command = query.all("command");
    if (verb === "exec" && (command.length === 0 || command[0] === "")) {
      throw new GantryError("usage", "no command is given", { hint: "Add ?command=NAME&command=ARGUMENT …" });
    }
    const tty = query.flag("tty");
    const wanted = { stdin: query.flag("stdin"), stdout: query.flag("stdout"), stderr: query.flag("stderr") && !tty };
    if (!wanted.stdin && !wanted.stdout && !wanted.stderr) {
      throw new GantryError("usage", "at least one of stdin, stdout and stderr must be asked for", {
        hint: "Add &stdout=true.",
      });
    }
    const container = query.text("container");
    const { stdin } = wanted;
    const start = (signal: AbortSignal) =>
      verb === "attach"
        ? this.#backend.attach(namespace, name, container, { stdin }, signal)
        : this.#backend.exec(namespace, name, container, { command, tty, stdin }, signal);
    // Upgraded first, as Kubernetes does: only a WebSocket that is read from shows that its client has left.
    this.#server.handleUpgrade(request, socket, head, (webSocket) => {
      serveExec(webSocket, start, wanted, this.#log).catch((err) => {
        this.#log.warn({ err, pod: `${namespace}/${name}` }, "exec: the session broke");
        webSocket.terminate();
      });
    });
  }
}

/** @throws GantryError not-found for any path that is neither exec's nor attach's */
function target(url: string): { readonly namespace: string; readonly name: string; readonly verb: string } {
  const path = url.split("?", 1)[0] ?? "";
  const [, namespace, name, verb] = SESSION_PATH.exec(path) ?? [];
  if (namespace === undefined || name === undefined || verb === undefined) {
    throw new GantryError("not-found", `there is no WebSocket at ${path}`, {
      hint: "Only …/pods/{name}/exec and …/pods/{name}/attach have one.",
    });
  }
  try {
    return { namespace: decodeURIComponent(namespace), name: decodeURIComponent(name), verb };
  } catch (cause) {
    throw new GantryError("usage", `${path} is not a valid path`, { cause });
  }
}

function checkProtocol(request: IncomingMessage): void {
  if (request.method !== "GET" || request.headers.upgrade?.toLowerCase() !== "websocket") {
    throw new GantryError("usage", `can't upgrade to '${request.headers.upgrade ?? ""}'`, {
      hint: "Use a client that speaks WebSocket (kubectl 1.31 or later does), not SPDY.",
    });
  }
  const offered = (request.headers["sec-websocket-protocol"] ?? "").split(",").map((protocol) => protocol.trim());
  if (PROTOCOLS.some((protocol) => offered.includes(protocol))) return;
  throw new GantryError("usage", `none of the subprotocols '${offered.join(", ")}' is spoken here`, {
    hint: `Offer ${PROTOCOLS.join(" or ")}.`,
  });
}

/** Answers over HTTP; the connection is not a WebSocket yet. */
function refuse(socket: Duplex, error: GantryError): void {
  const status = statusOfError(error);
  const body = JSON.stringify(status);
  socket.end(
    `HTTP/1.1 ${status.code} ${status.reason ?? ""}\r\n` +
      "content-type: application/json\r\n" +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}
