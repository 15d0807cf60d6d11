import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { GantryError, toGantryError } from "../../system/errors.ts";
import { httpError, statusOfError } from "../status-error.ts";
import { Query } from "./query.ts";
import { hangUpUnlessComplete, headersOf } from "./refuse.ts";

/** What a handler sees of a request. */
export interface Call {
  readonly query: Query;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
  /** The body, unread. */
  readonly body: NodeJS.ReadableStream;
  /** A parameter of the path, decoded. */
  param(name: string): string;
}

/** Returns what is sent as JSON; undefined when it has answered by itself. */
export type Handler = (call: Call) => unknown;

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";
const METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"] as const;

export type Handlers = Partial<Readonly<Record<Method, Handler>>>;

export interface RouteOptions {
  /** They answer in other formats than JSON, too. */
  readonly anyType?: boolean;
  /** Why other methods are not possible, and what to do instead: for people. */
  readonly otherwise?: string | undefined;
}

/** Registers the handlers of a path; every other method gets 405 with the header Allow. */
export function route(app: FastifyInstance, path: string, handlers: Handlers, options: RouteOptions = {}): void {
  const allowed: string[] = Object.keys(handlers);
  // One route for all methods: each by itself would cost the daemon memory and time at its start.
  app.route({
    method: [...METHODS],
    url: path,
    exposeHeadRoute: false,
    handler: async (request, reply) => {
      const handler = handlers[methodOf(request.method)];
      if (handler === undefined) {
        reply.header("allow", allowed.join(", "));
        const hint = allowed.length === 0 ? undefined : `Possible here: ${allowed.join(", ")}.`;
        const said = options.otherwise ?? `${request.method} is not possible at ${request.url.split("?", 1)[0]}`;
        throw httpError("MethodNotAllowed", said, hint);
      }
      if (options.anyType !== true) checkAccept(request.headers.accept);
      const answer = await handler(callOf(request, reply));
      // Already under way: fastify must not answer a second time.
      return reply.sent ? reply : reply.send(answer);
    },
  });
}

/** HEAD is answered as GET, without the body. Only the methods of the route get here. */
function methodOf(name: string): Method {
  return METHODS.find((method): method is Method => method === name && method !== "HEAD") ?? "GET";
}

function callOf(request: FastifyRequest, reply: FastifyReply): Call {
  const params = request.params;
  return {
    query: new Query(request.raw.url ?? ""),
    request,
    reply,
    body: request.raw,
    param: (name) => {
      const value = typeof params === "object" && params !== null ? Reflect.get(params, name) : undefined;
      if (typeof value === "string" && value !== "") return value;
      throw new GantryError("usage", `the path has no ${name}`);
    },
  };
}

/** What any client that can read this API says: JSON, or anything. */
function checkAccept(accept: string | undefined): void {
  if (accept === undefined || accept.trim() === "") return;
  const types = accept.split(",").map((range) => range.split(";")[0]?.trim().toLowerCase() ?? "");
  const good = ["*/*", "application/*", "application/json", "text/*", "text/plain"];
  if (types.some((type) => good.includes(type))) return;
  throw httpError("NotAcceptable", `can't answer with '${accept}'`, "Ask for application/json.");
}

/** Answers with the v1 Status of whatever was thrown. */
export function sendError(reply: FastifyReply, error: unknown): FastifyReply {
  const status = statusOfError(gantryErrorOf(error));
  hangUpUnlessComplete(reply.request.raw);
  return reply.code(status.code).headers(headersOf(status.code)).type("application/json").send(JSON.stringify(status));
}

/** Errors of fastify itself carry a `statusCode`. */
function gantryErrorOf(error: unknown): GantryError {
  if (error instanceof GantryError || !(error instanceof Error) || !("statusCode" in error))
    return toGantryError(error);
  switch (error.statusCode) {
    case 413:
      return httpError("RequestEntityTooLarge", error.message);
    case 415:
      return httpError("UnsupportedMediaType", error.message);
    case 400:
    case 414:
      return new GantryError("usage", error.message, { cause: error });
    default:
      return toGantryError(error);
  }
}
