import { chmod } from "node:fs/promises";
import { type FastifyInstance, fastify } from "fastify";
import { type Clock, systemClock } from "../system/clock.ts";
import { GantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { ApiBackend } from "./contract.ts";
import { serveCollections } from "./server/collections.ts";
import { ExecUpgrades } from "./server/exec-upgrade.ts";
import { serveGantry } from "./server/gantry.ts";
import { serveHealth } from "./server/health.ts";
import { nothingAt } from "./server/nothing-at.ts";
import { servePrometheus } from "./server/prometheus.ts";
import { refuseGarbage } from "./server/refuse.ts";
import { serveRoot } from "./server/root.ts";
import { sendError } from "./server/routing.ts";
import { SecureListener, type SecureOptions } from "./server/secure.ts";
import { claimSocket } from "./server/socket.ts";
import { Streams } from "./server/streaming.ts";

export interface ApiServer {
  /**
   * Listens. The socket is root's alone (0600, in a directory of 0700): whoever can open it may do everything.
   * @throws GantryError daemon-running, already-exists, invalid-config, internal
   */
  start(): Promise<void>;
  /** Ends watches and logs in good order and kills exec sessions. Takes the socket away. */
  close(): Promise<void>;
  /** Of TLS, once it listens. */
  readonly securePort: number | undefined;
}

export interface ApiServerOptions {
  readonly backend: ApiBackend;
  readonly socketPath: string;
  readonly log: Logger;
  /** Serve it over TLS, too, to clients with credentials. */
  readonly secure?: SecureOptions | undefined;
  /** Of watches: when they end, and are told how far they are. Default: the host's. */
  readonly clock?: Clock;
  /** Changes kept for watches that lag; default 1000. */
  readonly watchCapacity?: number;
}

const HEADERS_TIMEOUT_MS = 10_000;
/** How long `close` waits for clients to take the end of their streams. ms */
const CLOSE_PATIENCE_MS = 500;

/** The Kubernetes-shaped API of contract.ts on a unix socket. */
export function createApiServer(options: ApiServerOptions): ApiServer {
  const { backend, socketPath, log } = options;
  const app = createApp();
  const streams = new Streams(log, options.clock ?? systemClock);
  const upgrades = new ExecUpgrades(backend, log);
  const secure =
    options.secure === undefined
      ? undefined
      : new SecureListener({ options: options.secure, log, serve: app.routing, upgrade: upgrades.handle });
  let stopWatching: (() => void) | undefined;
  let listening = false;
  return {
    get securePort() {
      return secure?.port;
    },
    start: async () => {
      await claimSocket(socketPath);
      serveRoot(app);
      stopWatching = serveCollections(app, backend, streams, options.watchCapacity ?? 1000);
      serveGantry(app, backend, streams);
      serveHealth(app, backend);
      servePrometheus(app, backend);
      app.server.on("upgrade", upgrades.handle);
      try {
        await app.listen({ path: socketPath });
        await chmod(socketPath, 0o600);
      } catch (cause) {
        throw new GantryError("internal", `cannot listen at ${socketPath}: ${messageOf(cause)}`, {
          kind: "system",
          cause,
        });
      }
      listening = true;
      await secure?.start();
      log.debug({ socket: socketPath }, "API is served");
    },
    close: async () => {
      stopWatching?.();
      upgrades.close();
      await streams.close(CLOSE_PATIENCE_MS);
      await secure?.close();
      await app.close();
      if (listening) log.debug({ socket: socketPath }, "API is closed");
      listening = false;
    },
  };
}

/** fastify without what is not used here: schema compilers cost the daemon 3 MiB. */
function createApp(): FastifyInstance {
  const noSchemas = (): never => {
    throw new GantryError("internal", "routes have no schemas here");
  };
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    // An image may take long to arrive, a watch lasts for days: only headers are timed here, bodies where they are read.
    requestTimeout: 0,
    http: { headersTimeout: HEADERS_TIMEOUT_MS },
    exposeHeadRoutes: false,
    routerOptions: { maxParamLength: 1024, ignoreTrailingSlash: true },
    schemaController: {
      compilersFactory: { buildValidator: () => noSchemas, buildSerializer: () => noSchemas },
    },
    frameworkErrors: (error, _request, reply) => void sendError(reply, error),
    clientErrorHandler: refuseGarbage,
  });
  // Handlers read bodies by themselves: an image must not be held in memory, a manifest is limited.
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, _payload, done) => done(null));
  app.setErrorHandler((error, _request, reply) => sendError(reply, error));
  app.setNotFoundHandler((request, reply) => sendError(reply, nothingAt(request.url.split("?", 1)[0] ?? "")));
  return app;
}
