import type { IncomingMessage, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { GantryError, toGantryError } from "../../system/errors.ts";
import { RETRY_AFTER_SECONDS } from "../access/admission.ts";
import { httpError, statusOfError } from "../status-error.ts";

/** Headers that go with a Status, for clients that read no bodies. */
export function headersOf(code: number): Record<string, string> {
  if (code === 429) return { "retry-after": String(RETRY_AFTER_SECONDS) };
  // Nothing more of this request is waited for.
  if (code === 408) return { connection: "close" };
  return code === 401 ? { "www-authenticate": 'Bearer realm="gantry"' } : {};
}

/** A body that is still coming after its refusal is dropped for so long, so that the client can read why. ms */
const LINGER_MS = 5000;

/** Answers a request that no handler has seen. Its body is not read, but dropped. */
export function refuseRequest(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  const status = statusOfError(toGantryError(error));
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(status.code, { "content-type": "application/json", ...headersOf(status.code) });
  response.end(JSON.stringify(status));
  hangUpUnlessComplete(request);
}

/** Cuts the connection of a request whose body has not ended in a while. */
export function hangUpUnlessComplete(request: IncomingMessage): void {
  if (request.complete) return;
  const timer = setTimeout(() => request.socket.destroy(), LINGER_MS);
  for (const event of ["end", "close"]) request.once(event, () => clearTimeout(timer));
}

/** The same on a connection that is no longer, or not yet, HTTP. */
export function refuseSocket(socket: Duplex, error: unknown): void {
  const status = statusOfError(toGantryError(error));
  const body = JSON.stringify(status);
  const headers = { "content-type": "application/json", ...headersOf(status.code) };
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.end(
    `HTTP/1.1 ${status.code} ${status.reason ?? ""}\r\n${lines.join("")}` +
      `content-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  );
}

/** What is not HTTP, has too large headers, or takes too long to send them. */
export function refuseGarbage(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  refuseSocket(socket, garbageError(error));
}

function garbageError(error: Error & { code?: string }): GantryError {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return httpError("RequestHeaderFieldsTooLarge", "the headers of the request are larger than 16 KiB");
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return httpError("RequestTimeout", "the headers of the request did not arrive in time");
    default:
      return new GantryError("usage", `this is not a request that can be read: ${error.message}`);
  }
}
