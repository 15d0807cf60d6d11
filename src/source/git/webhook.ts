/** Where Git servers tell of pushes. What they say is not believed: it only makes the source be fetched now. */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import type { Logger } from "../../system/log.ts";
import { claimsSignature, isSigned } from "./hook-signature.ts";
import type { GitSources } from "./sources.ts";

export interface WebhookOptions {
  /** "127.0.0.1:9010"; port 0: any. */
  readonly listen: string;
  readonly sources: Pick<GitSources, "find">;
  readonly log: Logger;
}

export interface Webhook {
  readonly port: number;
  close(): Promise<void>;
}

/** GitHub's payloads have up to 25 MiB. */
const MAX_BODY_BYTES = 25 * 2 ** 20;
const TIMEOUT_MS = 15_000;
/** At the same time: each may hold a body in memory. */
const MAX_CONNECTIONS = 16;

/** @throws GantryError port-in-use, invalid-config */
export async function startWebhook(options: WebhookOptions): Promise<Webhook> {
  const { listen, log } = options;
  const server = createServer((request, response) => {
    answer(request, response, options).catch((error: unknown) => {
      log.warn({ reason: messageOf(error) }, "a webhook failed");
      if (!response.headersSent) send(response, 400, "bad request");
    });
  });
  server.requestTimeout = TIMEOUT_MS;
  server.headersTimeout = TIMEOUT_MS;
  server.maxConnections = MAX_CONNECTIONS;
  const at = listen.lastIndexOf(":");
  const host = listen.slice(0, at).replace(/^\[(.*)\]$/, "$1");
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause) => {
      const code = errnoOf(cause) === "EADDRINUSE" ? "port-in-use" : "invalid-config";
      reject(
        new GantryError(code, `webhooks can't be taken at ${listen}: ${messageOf(cause)}`, {
          cause,
          hint: "Choose another webhook.listen.",
        }),
      );
    });
    server.listen(Number(listen.slice(at + 1)), host, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

async function answer(request: IncomingMessage, response: ServerResponse, options: WebhookOptions): Promise<void> {
  const name = /^\/hooks\/git\/([a-z0-9-]{1,63})\/?(\?.*)?$/.exec(request.url ?? "")?.[1];
  if (name === undefined) return send(response, 404, "not found");
  if (request.method !== "POST") return send(response, 405, "POST is expected");
  if (!claimsSignature(request.headers)) return send(response, 401, "the signature is not right");
  const declared = Number(request.headers["content-length"] ?? 0);
  const body = declared > MAX_BODY_BYTES ? undefined : await readBody(request);
  if (body === undefined) return send(response, 413, "the body is too large");
  const source = options.sources.find(name);
  const secret = await secretOf(source?.spec.webhookSecretFile);
  // The same for a source that is not there, has no secret, or has another one.
  if (source === undefined || !isSigned(request.headers, body, secret)) {
    options.log.warn(
      { source: name },
      "a webhook was refused: its signature is not right, or the source has no secret",
    );
    return send(response, 401, "the signature is not right");
  }
  send(response, 202, "the repository is fetched");
  source.poke();
}

async function secretOf(path: string | undefined): Promise<string> {
  if (path === undefined) return "";
  try {
    return (await readFile(path, "utf8")).trim();
  } catch {
    return ""; // nobody can sign with it
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > MAX_BODY_BYTES) return undefined;
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function send(response: ServerResponse, status: number, text: string): void {
  response.writeHead(status, { "content-type": "text/plain; charset=utf-8", connection: "close" });
  response.end(`${text}\n`);
}
