/**
 * The health check of gRPC: one unary call, `grpc.health.v1.Health/Check` (grpc/grpc, doc/health-checking.md), over
 * Node's own HTTP/2 as grpc/doc/PROTOCOL-HTTP2.md describes it. The usual client would bring 14 MB of packages and
 * 10 MiB of memory for these two messages of one field each; the tests hold this one against its server.
 */
import type { ClientHttp2Session, IncomingHttpHeaders } from "node:http2";
import { isIP } from "node:net";
import type { GrpcAction, ProbeOutcome } from "./contract.ts";

const PATH = "/grpc.health.v1.Health/Check";
/** A health answer has two bytes; nobody is read for longer. */
const MAX_ANSWER_BYTES = 64 * 1024;
/** google.golang.org/grpc/codes */
const UNIMPLEMENTED = "12";
/** grpc.health.v1.HealthCheckResponse.ServingStatus */
const STATUS = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"] as const;

/** Passes when the service says that it is SERVING. Without TLS, as by the kubelet. @throws when nobody answers */
export async function probeGrpc(action: GrpcAction, userAgent: string, signal: AbortSignal): Promise<ProbeOutcome> {
  const answer = await call(action, userAgent, signal);
  const code = answer.headers["grpc-status"] ?? "missing";
  const said = unescaped(answer.headers["grpc-message"]);
  if (code === UNIMPLEMENTED) {
    const why = "this server does not implement the grpc health protocol (grpc.health.v1.Health)";
    return failure(`error: ${why}: ${said ?? ""}`);
  }
  if (code !== "0") {
    const message = said ?? `HTTP status ${answer.headers[":status"] ?? "missing"}`;
    return failure(`error: health rpc probe failed: ${message} (code ${code})`);
  }
  const status = servingStatus(answer.body);
  if (status === undefined) return failure("error: health rpc probe failed: the answer is no HealthCheckResponse");
  if (status === "SERVING") return { result: "success", message: "service healthy" };
  return failure(`service unhealthy (responded with "${status}")`);
}

function failure(message: string): ProbeOutcome {
  return { result: "failure", message };
}

/** grpc-message is percent-encoded; one that is not well-formed is shown as it is. */
function unescaped(message: string | undefined): string | undefined {
  try {
    return message === undefined ? undefined : decodeURIComponent(message);
  } catch {
    return message;
  }
}

interface Answer {
  /** Headers and trailers together. */
  readonly headers: Readonly<Record<string, string | undefined>>;
  readonly body: Buffer;
}

async function call({ host, port, service }: GrpcAction, userAgent: string, signal: AbortSignal): Promise<Answer> {
  // Loaded when it is first needed: most pods have no gRPC probe.
  const { connect } = await import("node:http2");
  const session: ClientHttp2Session = connect(`http://${isIP(host) === 6 ? `[${host}]` : host}:${port}`);
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const stop = (): void => session.destroy();
  signal.addEventListener("abort", stop, { once: true });
  session.on("error", reject);
  session.once("close", () => reject(new Error("the connection was closed")));
  const stream = session.request({
    ":method": "POST",
    ":path": PATH,
    "content-type": "application/grpc",
    te: "trailers",
    "user-agent": userAgent,
  });
  const headers: Record<string, string | undefined> = {};
  const note = (more: IncomingHttpHeaders): void => {
    for (const [name, value] of Object.entries(more)) headers[name] = String(value);
  };
  const chunks: Buffer[] = [];
  let bytes = 0;
  stream.on("response", note);
  stream.on("trailers", note);
  stream.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_ANSWER_BYTES) reject(new Error("the answer is too long for a health check"));
  });
  stream.on("end", () => resolve({ headers, body: Buffer.concat(chunks) }));
  stream.on("error", reject);
  stream.end(requestMessage(service));
  try {
    return await promise;
  } finally {
    signal.removeEventListener("abort", stop);
    session.destroy();
  }
}

/** HealthCheckRequest { string service = 1; }, uncompressed and with its length before it. Exported for its tests. */
export function requestMessage(service: string): Buffer {
  const name = Buffer.from(service, "utf8");
  const field = name.length === 0 ? Buffer.alloc(0) : Buffer.concat([Buffer.from([0x0a]), varint(name.length), name]);
  const head = Buffer.alloc(5);
  head.writeUInt32BE(field.length, 1);
  return Buffer.concat([head, field]);
}

/** Base 128, least significant group first (protobuf.dev/programming-guides/encoding). */
function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 0x7f; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return Buffer.from([...bytes, rest]);
}

/**
 * HealthCheckResponse { ServingStatus status = 1; }; an absent field is 0, UNKNOWN. Exported for its tests.
 * @returns undefined when it is no such message
 */
export function servingStatus(body: Buffer): (typeof STATUS)[number] | undefined {
  if (body.length < 5 || body[0] !== 0) return undefined; // we asked for no compression
  const length = body.readUInt32BE(1);
  const message = body.subarray(5, 5 + length);
  if (message.length !== length) return undefined;
  if (length === 0) return "UNKNOWN";
  return length === 2 && message[0] === 0x08 ? STATUS[message[1] ?? 0] : undefined;
}
