import type { ClientRequest, IncomingMessage, OutgoingHttpHeaders, RequestOptions } from "node:http";
import { isIP } from "node:net";
import type { HttpGetAction, ProbeOutcome } from "./contract.ts";

/** The kubelet reads no more of an answer (kubernetes/pkg/probe/http, maxRespBodyLength). Bytes. */
const MAX_BODY_BYTES = 10 * 1024;
const MAX_REDIRECTS = 10;

/** Who asks, as apps see it: "kube-probe/1.34", "kube-lifecycle/1.34". */
export type UserAgent = `kube-${"probe" | "lifecycle"}/${string}`;

export interface HttpAnswer {
  readonly status: number;
  /** No more than its first 10 KiB. */
  readonly body: string;
  /** Redirects were no longer followed: to another host, or too many. */
  readonly redirected: boolean;
}

/**
 * Passes for 200 to 399. A redirect to another host, and more than ten to the same, are not followed: a pass with a
 * warning (kubernetes.io, "Configure Liveness, Readiness and Startup Probes", HTTP probes).
 * @throws whatever keeps the app from answering: that is a failure of the app
 */
export async function probeHttp(
  action: HttpGetAction,
  userAgent: UserAgent,
  signal: AbortSignal,
): Promise<ProbeOutcome> {
  const { status, body, redirected } = await httpGet(action, userAgent, signal);
  if (status < 200 || status > 399)
    return { result: "failure", message: `HTTP probe failed with statuscode: ${status}` };
  return redirected
    ? { result: "warning", message: `Probe terminated redirects, Response body: ${body}` }
    : { result: "success", message: body };
}

/** One GET, with redirects to the same host followed. Certificates are not verified, as by the kubelet. */
export async function httpGet(action: HttpGetAction, userAgent: UserAgent, signal: AbortSignal): Promise<HttpAnswer> {
  const headers = headersOf(action, userAgent);
  let url = urlOf(action);
  const ownHost = headers["host"] !== undefined;
  for (let redirects = 0; ; redirects++) {
    const { status, body, location } = await request(url, headers, signal);
    const next = REDIRECTS.has(status) && location !== undefined ? URL.parse(location, url.href) : null;
    if (next === null || !/^https?:$/.test(next.protocol)) {
      return { status, body, redirected: status >= 300 && status < 400 };
    }
    if (next.hostname !== url.hostname || redirects >= MAX_REDIRECTS) return { status, body, redirected: true };
    if (ownHost && next.host !== url.host) delete headers["host"];
    url = next;
  }
}

const REDIRECTS: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);

/** The path is taken as it is, with its query; what cannot stand in a request is escaped. Exported for its tests. */
export function urlOf({ scheme, host, port, path }: HttpGetAction): URL {
  const [whole = ""] = path.split("#", 1);
  const target = whole.startsWith("/") ? whole : `/${whole}`;
  const escaped = target.replace(/[^\x21-\x7e]/gu, (character) => encodeURIComponent(character));
  const name = isIP(host) === 6 ? `[${host}]` : host;
  const url = new URL(`${scheme.toLowerCase()}://${name}:${port}`);
  const query = escaped.indexOf("?");
  url.pathname = query < 0 ? escaped : escaped.slice(0, query);
  url.search = query < 0 ? "" : escaped.slice(query);
  return url;
}

/** The manifest's headers win; an empty Accept takes ours away (kubernetes/pkg/probe/http/request.go). */
function headersOf({ headers }: HttpGetAction, userAgent: UserAgent): OutgoingHttpHeaders {
  const all: Record<string, string | string[]> = {};
  for (const { name, value } of headers) {
    const key = name.toLowerCase();
    const before = all[key];
    // A request has one Host.
    all[key] = before === undefined || key === "host" ? value : [before, value].flat();
  }
  all["user-agent"] ??= userAgent;
  if (all["accept"] === "") delete all["accept"];
  else all["accept"] ??= "*/*";
  return all;
}

interface RawAnswer {
  readonly status: number;
  readonly body: string;
  readonly location: string | undefined;
}

async function request(url: URL, headers: OutgoingHttpHeaders, signal: AbortSignal): Promise<RawAnswer> {
  const secure = url.protocol === "https:";
  // Loaded when they are first needed: most daemons probe nothing with TLS.
  const { request: open } = secure ? await import("node:https") : await import("node:http");
  const options: RequestOptions & Record<string, unknown> = {
    method: "GET",
    headers: { host: hostHeader(url), ...headers, connection: "close" },
    agent: false,
    signal,
    // Lenient, as what is tested is whether the app lives, not how well it speaks.
    insecureHTTPParser: true,
    ...(secure ? { rejectUnauthorized: false, ciphers: "DEFAULT@SECLEVEL=0" } : {}),
  };
  const { promise, resolve, reject } = Promise.withResolvers<RawAnswer>();
  const asked: ClientRequest = open(url, options, (answer) => read(answer, resolve, reject, asked));
  asked.on("error", (error) => reject(new Error(`Get "${url}": ${error.message}`, { cause: error })));
  asked.end();
  return await promise;
}

function hostHeader(url: URL): string {
  return url.port === "" ? `${url.host}:${url.protocol === "https:" ? 443 : 80}` : url.host;
}

/** An answer that is longer is cut off: its status has been read long ago. */
function read(
  answer: IncomingMessage,
  resolve: (answer: RawAnswer) => void,
  reject: (error: Error) => void,
  asked: ClientRequest,
): void {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const done = (): void => {
    const body = Buffer.concat(chunks).subarray(0, MAX_BODY_BYTES).toString("utf8");
    resolve({ status: answer.statusCode ?? 0, body, location: answer.headers.location });
    asked.destroy();
  };
  answer.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes >= MAX_BODY_BYTES) done();
  });
  answer.on("end", done);
  answer.on("error", reject);
}
