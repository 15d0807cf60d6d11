import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { errnoOf, GantryError, messageOf } from "../../system/errors.ts";
import { errorOfStatus } from "../status-error.ts";

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
/** A refusal is read up to this. Bytes. */
const MAX_ERROR_BYTES = 4 * 1024 * 1024;

/**
 * Sends a request and resolves with the answer's stream once it is known to be a good one (2xx).
 * @throws GantryError daemon-unreachable, cancelled, or the daemon's own error
 */
export function openRequest(socketPath: string, options: ApiRequest): Promise<IncomingMessage> {
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
    const request = httpRequest({ socketPath, path, method, headers, agent: false });
    let response: IncomingMessage | undefined;
    const patience = sendsStream ? undefined : setTimeout(() => request.destroy(silent(socketPath)), patienceMs);
    const onAbort = (): void => {
      request.destroy();
      response?.destroy();
      reject(cancelled());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    request.on("close", () => clearTimeout(patience));
    request.on("close", () => signal?.removeEventListener("abort", onAbort));
    request.on("error", (cause) => reject(unreachable(socketPath, cause)));
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
        (cause) => reject(unreachable(socketPath, cause)),
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

function silent(socketPath: string): GantryError {
  return new GantryError("timeout", `the daemon at ${socketPath} does not answer`, {
    kind: "system",
    hint: "It is there but stuck: look at its log, and restart it; the pods go on meanwhile.",
  });
}

/**
 * Sends a request and reads its JSON. `T` is what the daemon of this same version promises for the path
 * (src/api/contract.ts); anything that is no JSON object is refused.
 */
export async function requestJson<T>(socketPath: string, options: ApiRequest): Promise<T> {
  const answer = await openRequest(socketPath, options);
  let text: string;
  try {
    text = await readText(answer, MAX_ANSWER_BYTES);
  } catch (cause) {
    throw unreachable(socketPath, cause);
  }
  return parseObject<T>(text);
}

/** Sends a request whose answer says nothing but that it worked. */
export async function requestNothing(socketPath: string, options: ApiRequest): Promise<void> {
  const answer = await openRequest(socketPath, options);
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

export function unreachable(socketPath: string, cause: unknown): GantryError {
  if (cause instanceof GantryError) return cause;
  const hint = `Is it running? Start it with 'gantry daemon' or 'npm start'. Looked at ${socketPath}.`;
  const details = { socket: socketPath };
  switch (errnoOf(cause)) {
    case "ENOENT":
    case "ECONNREFUSED":
    case "ENOTDIR":
      return new GantryError("daemon-unreachable", "the daemon is not running", { hint, cause, details });
    case "EACCES":
    case "EPERM":
      return new GantryError("daemon-unreachable", "no permission to talk to the daemon", {
        hint: `Its socket is root's alone: run this as root (sudo). Looked at ${socketPath}.`,
        cause,
        details,
      });
    case "ECONNRESET":
    case "EPIPE":
      return new GantryError("daemon-unreachable", "the daemon went away in the middle", { hint, cause, details });
    default: {
      const message = `cannot talk to the daemon: ${messageOf(cause)}`;
      return new GantryError("daemon-unreachable", message, { hint, cause, details });
    }
  }
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
