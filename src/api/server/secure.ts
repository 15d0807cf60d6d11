import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import { formatListen, isLoopback } from "../../config/listen.ts";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { Admission, LIMITS, type Limits } from "../access/admission.ts";
import { type Authenticated, Authenticator } from "../access/authenticate.ts";
import { rememberIdentity } from "../access/identity.ts";
import { ensureAuthority, ensureServerKey } from "../access/keys.ts";
import { serverNames } from "../access/names.ts";
import { durationOf, type RequestInfo, requestInfo } from "../access/request-info.ts";
import { forbiddenMessage, mayDo } from "../access/roles.ts";
import { httpError } from "../status-error.ts";
import { MAX_BODY_BYTES } from "./body.ts";
import { refuseGarbage, refuseRequest, refuseSocket } from "./refuse.ts";

export interface SecureOptions {
  readonly host: string;
  readonly port: number;
  /** Of the keys and credentials, see accessDir. */
  readonly dir: string;
  /** Names and addresses for the certificate beside those of the host. */
  readonly names?: readonly string[];
  /** Told when it can't listen, and that it tries again. */
  readonly onTrouble?: (message: string) => void;
  /** Told of every watch, log and session that begins: what their beginning took can be given back soon after. */
  readonly onStream?: () => void;
  readonly limits?: Limits;
  readonly maxConnections?: number;
}

export interface SecureParts {
  readonly options: SecureOptions;
  readonly log: Logger;
  readonly serve: (request: IncomingMessage, response: ServerResponse) => void;
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

const HEADERS_TIMEOUT_MS = 10_000;
/** How often connections are looked at that send nothing. ms */
const CHECK_MS = 5_000;
/** A connection between two requests: kubectl and its like come back within this. ms */
const KEEP_ALIVE_MS = 60_000;
/** No byte in either direction while a short request is answered: the client takes nothing, or sends nothing. ms */
const STALLED_MS = 60_000;
/** A peer that is gone without a word is found out after this. ms */
const PROBE_AFTER_MS = 60_000;
const MAX_CONNECTIONS = 2500;
/** So many beyond the most are still told why they are sent away. */
const TOLD_CONNECTIONS = 100;
/** What goes on for long is cut off within this after its credential was removed, or has ended. ms */
const RECHECK_MS = 1000;
const LISTEN_AGAIN_MS = 10_000;
const RENEW_CHECK_MS = 12 * 3_600_000;
/** Those whose credentials are not known may try so often, by address: no handshake comes cheap. */
const STRANGERS: Limits = { ...LIMITS, ratePerSecond: 10, burst: 100 };
/** Uploads of any size; handlers take them as streams. */
const UPLOADS = /^\/apis\/gantry\.dev\/v1\/images$/;

/** The API over TLS: nothing without credentials, and no more at a time than the daemon can bear. */
export class SecureListener {
  readonly #parts: SecureParts;
  readonly #admission: Admission;
  readonly #strangers = new Admission(STRANGERS);
  readonly #authenticator: Authenticator;
  readonly #streams = new Map<Duplex, Authenticated>();
  readonly #maxConnections: number;
  #connections = 0;
  #server: Server | undefined;
  #timers: NodeJS.Timeout[] = [];
  #recheck: NodeJS.Timeout | undefined;
  #closed = false;
  #endsAt = 0;

  constructor(parts: SecureParts) {
    this.#parts = parts;
    this.#admission = new Admission(parts.options.limits);
    this.#authenticator = new Authenticator(parts.options.dir, Date.now);
    this.#maxConnections = parts.options.maxConnections ?? MAX_CONNECTIONS;
  }

  /** The port that it has, where 0 was asked for. */
  get port(): number | undefined {
    const address: AddressInfo | string | null | undefined = this.#server?.address();
    return typeof address === "object" ? address?.port : undefined;
  }

  /**
   * Makes the keys if there are none, and listens. What keeps it from that is told, and tried again every 10 s: pods
   * and the unix socket do not depend on it.
   */
  async start(): Promise<void> {
    try {
      const server = await this.#create();
      await listen(server, this.#parts.options);
      this.#server = server;
      this.#timers.push(setInterval(() => void this.#renew(), RENEW_CHECK_MS).unref());
      this.#tellWhere();
    } catch (error) {
      if (this.#closed) return;
      const { options, log } = this.#parts;
      const message = `the API can't be served at ${formatListen(options)}: ${reasonOf(error)}; trying again`;
      if (options.onTrouble === undefined) log.warn(message);
      else options.onTrouble(message);
      this.#timers = [setTimeout(() => void this.#startAgain(), LISTEN_AGAIN_MS).unref()];
    }
  }

  /** Cuts every connection. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#timers) clearTimeout(timer);
    clearInterval(this.#recheck);
    const server = this.#server;
    if (server === undefined) return;
    await new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
      for (const socket of this.#streams.keys()) socket.destroy();
    });
  }

  async #startAgain(): Promise<void> {
    if (!this.#closed) await this.start();
  }

  async #create(): Promise<Server> {
    const { options, log } = this.#parts;
    const authority = await ensureAuthority(options.dir);
    const { key, certificate, endsAt } = await this.#serverKey();
    this.#endsAt = endsAt;
    const server = createServer({
      ...{ key, cert: certificate, ca: authority.certificate, minVersion: "TLSv1.2" },
      // Given as a list, each connection would keep a copy of it, and with it the whole 64 KiB of Node's pool around it.
      ALPNCallback: ({ protocols }) => protocols.find((protocol) => protocol === "http/1.1"),
      // Refused by us, with a Status that says why; one that sends a token has no certificate.
      ...{ requestCert: true, rejectUnauthorized: false, handshakeTimeout: HEADERS_TIMEOUT_MS },
      ...{ headersTimeout: HEADERS_TIMEOUT_MS, requestTimeout: 0, connectionsCheckingInterval: CHECK_MS },
      ...{ keepAliveTimeout: KEEP_ALIVE_MS, keepAlive: true, keepAliveInitialDelay: PROBE_AFTER_MS },
    });
    server.maxConnections = this.#maxConnections + TOLD_CONNECTIONS;
    server.on("secureConnection", (socket) => {
      this.#connections += 1;
      socket.on("close", () => {
        this.#connections -= 1;
      });
    });
    server.on("tlsClientError", (error, socket) => {
      log.debug({ from: socket.remoteAddress, reason: messageOf(error) }, "API: no TLS came about");
      socket.destroy();
    });
    server.on("clientError", refuseGarbage);
    server.on("request", (request, response) => void this.#onRequest(request, response));
    server.on("upgrade", (request, socket, head) => void this.#onUpgrade(request, socket, head));
    return server;
  }

  #serverKey() {
    const { dir, host, names = [] } = this.#parts.options;
    return ensureServerKey(dir, serverNames(host, names), Date.now());
  }

  async #renew(): Promise<void> {
    const { dir } = this.#parts.options;
    try {
      const { key, certificate, endsAt } = await this.#serverKey();
      if (endsAt === this.#endsAt) return;
      const { certificate: ca } = await ensureAuthority(dir);
      this.#server?.setSecureContext({ key, cert: certificate, ca, minVersion: "TLSv1.2" });
      this.#endsAt = endsAt;
      this.#parts.log.info("the API's certificate was renewed");
    } catch (error) {
      this.#parts.options.onTrouble?.(`the API's certificate could not be renewed: ${messageOf(error)}`);
    }
  }

  async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { who, info, release } = await this.#admit(request);
      response.once("close", release);
      const { socket } = request;
      if (durationOf(info) === "stream") {
        socket.setTimeout(0);
        this.#keep(socket, who, response);
      } else {
        socket.setTimeout(STALLED_MS);
        checkLength(request, info);
      }
      if (response.destroyed) return release();
      this.#parts.serve(request, response);
    } catch (error) {
      refuseRequest(request, response, error);
    }
  }

  async #onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // Without one, a client that leaves now would end the daemon.
    socket.on("error", (err) => this.#parts.log.debug({ err }, "API: the connection failed"));
    try {
      const { who, release } = await this.#admit(request);
      socket.once("close", release);
      this.#keep(socket, who, socket);
      if (socket.destroyed) return release();
      this.#parts.upgrade(request, socket, head);
    } catch (error) {
      refuseSocket(socket, error);
    }
  }

  /** @throws GantryError access-denied (401, 403), too-many-requests (429) */
  async #admit(request: IncomingMessage) {
    const { socket } = request;
    if (!(socket instanceof TLSSocket)) throw new GantryError("internal", "this is no TLS connection");
    const now = performance.now();
    let who: Authenticated;
    try {
      who = await this.#authenticator.who(request, socket);
    } catch (error) {
      // Whoever guesses is slowed down, and never gets in the way of those who are known.
      this.#strangers.admit(socket.remoteAddress ?? "", "short", now)();
      throw error;
    }
    if (this.#connections > this.#maxConnections)
      throw httpError("TooManyRequests", `too many requests: ${this.#connections} connections are open`);
    if (Object.keys(request.headers).some((name) => name.startsWith("impersonate-")))
      throw httpError("Forbidden", "impersonation is not possible here", "Leave out --as, --as-group and --as-uid.");
    const info = requestInfo(request.method ?? "GET", request.url ?? "/");
    const release = this.#admission.admit(
      who.name,
      request.headers.upgrade === undefined ? durationOf(info) : "stream",
      now,
    );
    if (!mayDo(who.role, info)) {
      release();
      throw httpError(
        "Forbidden",
        forbiddenMessage(who, info),
        `'${who.name}' may only look: its role is ${who.role}.`,
      );
    }
    rememberIdentity(request, who);
    return { who, info, release };
  }

  /** Looks now and then whether what goes on for long may still. */
  #keep(socket: Duplex, who: Authenticated, until: { once(event: "close", listener: () => void): unknown }): void {
    this.#streams.set(socket, who);
    this.#parts.options.onStream?.();
    until.once("close", () => {
      this.#streams.delete(socket);
      if (this.#streams.size > 0) return;
      clearInterval(this.#recheck);
      this.#recheck = undefined;
    });
    this.#recheck ??= setInterval(() => void this.#endRevoked(), RECHECK_MS).unref();
  }

  async #endRevoked(): Promise<void> {
    for (const [socket, who] of this.#streams) {
      if (!(await this.#authenticator.stillGood(who))) socket.destroy();
    }
  }

  #tellWhere(): void {
    const { options, log } = this.#parts;
    const at = formatListen({ host: options.host, port: this.port ?? options.port });
    if (isLoopback(options.host)) log.info({ address: at }, "the API is served over TLS");
    else log.warn({ address: at }, "the API is served over TLS to other machines, too; a firewall should say which");
  }
}

/** Said before anything is read. */
function checkLength({ headers }: IncomingMessage, info: RequestInfo): void {
  if (UPLOADS.test(info.path) || !(Number(headers["content-length"] ?? 0) > MAX_BODY_BYTES)) return;
  throw httpError(
    "RequestEntityTooLarge",
    `the body is larger than ${MAX_BODY_BYTES} bytes`,
    "Send it in smaller pieces.",
  );
}

function listen(server: Server, { host, port }: SecureOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ host, port }, () => {
      server.off("error", reject);
      resolve();
    });
  });
}

function reasonOf(error: unknown): string {
  switch (errnoOf(error)) {
    case "EADDRINUSE":
      return "the port is taken (see 'ss -ltnp')";
    case "EADDRNOTAVAIL":
    case "ENOTFOUND":
      return "this host has no such address";
    case "EACCES":
      return "no permission for this port";
    default:
      return messageOf(error);
  }
}
