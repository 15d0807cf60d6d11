import type { Duplex } from "node:stream";
import type { Logger } from "../../system/log.ts";
import { SpdyConnection, type SpdyStream } from "../spdy/connection.ts";
import { type Connect, forward } from "./forward.ts";
import { readPort } from "./session-request.ts";

/** How long a client may take from the first stream of a pair to the second. ms */
const PAIR_TIMEOUT_MS = 30_000;

interface Half {
  readonly stream: SpdyStream;
  readonly timer: NodeJS.Timeout;
}

/**
 * Port forwarding as portforward.k8s.io has it: for each connection of its own the client opens two streams with the
 * same number, one for data and one on which it learns what went wrong. Resolves when the client has left.
 */
export async function serveForwardOnSpdy(transport: Duplex, connect: Connect, log: Logger): Promise<void> {
  const halves = new Map<string, Half>();
  const connection = new SpdyConnection(transport, (stream) => {
    const request = requestOf(stream);
    if (request === undefined) {
      log.debug({ headers: [...stream.headers] }, "port-forward: this stream is refused");
      return false;
    }
    const { id, type, port } = request;
    const other = halves.get(`${id} ${type === "data" ? "error" : "data"}`);
    if (other === undefined) {
      const key = `${id} ${type}`;
      if (halves.has(key)) return false;
      const giveUp = (): void => {
        halves.delete(key);
        stream.destroy();
      };
      halves.set(key, { stream, timer: setTimeout(giveUp, PAIR_TIMEOUT_MS) });
      return true;
    }
    clearTimeout(other.timer);
    halves.delete(`${id} ${type === "data" ? "error" : "data"}`);
    const [data, error] = type === "data" ? [stream, other.stream] : [other.stream, stream];
    // A client says nothing on it.
    error.resume();
    void forward(data, error, port, connect);
    return true;
  });
  const why = await connection.closed;
  if (why !== undefined) log.debug({ why }, "port-forward: the connection failed");
  for (const { timer } of halves.values()) clearTimeout(timer);
}

function requestOf({
  headers,
}: SpdyStream): { readonly id: string; readonly type: "data" | "error"; readonly port: number } | undefined {
  const [id, type, port] = ["requestid", "streamtype", "port"].map((name) => headers.get(name) ?? "");
  if (id === undefined || id === "" || (type !== "data" && type !== "error")) return undefined;
  try {
    return { id, type, port: readPort(port ?? "") };
  } catch {
    return undefined;
  }
}
