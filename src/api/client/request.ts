import type { ClientRequest, IncomingMessage, RequestOptions } from "node:http";
import type { Readable } from "node:stream";
import { GantryError, messageOf } from "../../system/errors.ts";
import { errorOfStatus } from "../status-error.ts";
import { authorization, type Endpoint, isRemote, tlsOptions } from "./endpoint.ts";
import { nameOf, noAnswer, unreachable } from "./unreachable.ts";

// Not imported: an import of node:http touches all that it exports, and so loads undici, which takes 50 ms.
const { request: httpRequest } = process.getBuiltinModule("node:http");

export interface ApiRequest {
  readonly method: "GET" | "POST" | "DELETE";
  readonly path: string;
  readonly body?: string | Readable;
  readonly contentType?: string;
  readonly signal?: AbortSignal | undefined;
  /** ms until a daemon that does not begin to answer counts as dead; default 30,000. */
  readonly patienceMs?: number;
}

/** An answer with JSON in it is read whole, up to this; 10,000 pods fit. Bytes. */
const MAX_ANSWER_BYTES = 256 * 1024 * 1024;
/** A daemon that lives begins to answer within this, unless it is still being sent something. ms */
const ANSWER_WITHIN_MS = 30_000;
/** Somebody who is there takes a connection within this. ms */
const CONNECT_WITHIN_MS = 10_000;
/** A refusal is read up to this. Bytes. */
const MAX_ERROR_BYTES = 4 * 1024 * 1024;

/**
 * Sends a request and resolves with the answer's stream once it is known to be a good one (2xx).
 * @throws GantryError daemon-unreachable, cancelled, or the daemon's own error
 */
export function openRequest(endpoint: Endpoint, options: ApiRequest): Promise<IncomingMessage> {
  const { method, path, body, contentType, signal, patienceMs = ANSWER_WITHIN_MS } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(cancelled());
    const sendsStream = body !== undefined && typeof body !== "string";
    const headers = {
      accept: "application/json, */*",
      ...(contentType && { "content-type": contentType }),
      // A refusal may come while there is still something to send: the server must not hang up before it is read.
      ...(sendsStream && { connection: "keep-alive" }),
    };
    // One connection per request: the process is about to end anyway, and an idle one would keep it waiting.
    const request = send(endpoint, { path, method, headers, agent: false });
    let response: IncomingMessage | undefined;
    const patience = sendsStream ? undefined : setTimeout(() => request.destroy(silent(endpoint)), patienceMs);
    const onAbort = (): void => {
      request.destroy();
      response?.destroy();
      reject(cancelled());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    request.on("close", () => clearTimeout(patience));
    request.on("close", () => signal?.removeEventListener("abort", onAbort));
    request.on("error", (cause) => reject(unreachable(endpoint, cause)));
    request.on("response", (answer) => {
      clearTimeout(patience);
      response = answer;
      const code = answer.statusCode ?? 0;
      if (sendsStream) {
        // All is said: nothing more needs to be sent, and nobody asks for anything else.
        body.unpipe(request);
        answer.once("close", () => request.destroy());
        body.destroy();
      }
      if (code >= 200 && code < 300) return resolve(answer);
      readText(answer, MAX_ERROR_BYTES).then(
        (text) => reject(errorOfStatus(text, code)),
        (cause) => reject(unreachable(endpoint, cause)),
      );
    });
    if (body === undefined || typeof body === "string") {
      request.end(body);
      return;
    }
    body.on("error", (cause) => {
      request.destroy();
      reject(new GantryError("internal", `cannot read what is to be sent: ${messageOf(cause)}`, { cause }));
    });
    body.pipe(request);
  });
}

function send(endpoint: Endpoint, options: RequestOptions): ClientRequest {
  if (!isRemote(endpoint)) return httpRequest({ ...options, socketPath: endpoint.socketPath });
  const { host, port } = endpoint;
  const headers = { ...options.headers, ...authorization(endpoint) };
  // Loaded only here: most commands ask the daemon of this host.
  const https = process.getBuiltinModule("node:https");
  const request = https.request({ ...options, ...tlsOptions(endpoint), host, port, headers });
  const patience = setTimeout(() => request.destroy(noAnswer(endpoint)), CONNECT_WITHIN_MS);
  request.once("close", () => clearTimeout(patience));
  request.once("socket", (socket) => socket.once("secureConnect", () => clearTimeout(patience)));
  return request;
}

function silent(endpoint: Endpoint): GantryError {
  return new GantryError("timeout", `the daemon at ${nameOf(endpoint)} does not answer`, {
    kind: "system",
    hint: "It is there but stuck: look at its log, and restart it; the pods go on meanwhile.",
  });
}

/**
 * Sends a request and reads its JSON. `T` is what the daemon of this same version promises for the path
 * (src/api/contract.ts); anything that is no JSON object is refused.
 */
export async function requestJson<T>(endpoint: Endpoint, options: ApiRequest): Promise<T> {
  const answer = await openRequest(endpoint, options);
  let text: string;
  try {
    text = await readText(answer, MAX_ANSWER_BYTES);
  } catch (cause) {
    throw unreachable(endpoint, cause);
  }
  return parseObject<T>(text);
}

/** Sends a request whose answer says nothing but that it worked. */
export async function requestNothing(endpoint: Endpoint, options: ApiRequest): Promise<void> {
  const answer = await openRequest(endpoint, options);
  answer.resume();
}

/** @throws GantryError internal when `text` is not a JSON object */
export function parseObject<T>(text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new GantryError("internal", `the daemon sent something that is not JSON: ${text.slice(0, 200)}`, { cause });
  }
  if (typeof value !== "object" || value === null) {
    throw new GantryError("internal", `the daemon sent something unexpected: ${text.slice(0, 200)}`);
  }
  return value as T;
}

function cancelled(): GantryError {
  return new GantryError("cancelled", "the request was cancelled", { kind: "system" });
}

async function readText(stream: Readable, maxBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw new GantryError("internal", `the daemon's answer is larger than ${maxBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}
