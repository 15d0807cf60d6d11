import { once } from "node:events";
import { createServer, type IncomingMessage, request, type Server, type ServerResponse } from "node:http";

/** What the proxy does to a request; undefined passes it on. */
export type Lie = (
  path: string,
  method: string,
) =>
  | undefined
  | {
      readonly type: "status";
      readonly status: number;
      readonly body?: string;
      readonly headers?: Record<string, string>;
    }
  /** Other bytes than the registry's. */
  | { readonly type: "body"; readonly change: (body: Buffer) => Buffer }
  /** At most so many bytes, then nothing until `LyingProxy.release`. */
  | { readonly type: "stall"; readonly bytes: number }
  /** So many bytes, then the connection breaks. */
  | { readonly type: "cut"; readonly bytes: number }
  /** Bytes without an end. */
  | { readonly type: "endless" };

/** A registry in front of a registry that lies, stalls and fails as it is told to. */
export class LyingProxy implements AsyncDisposable {
  lie: Lie = () => undefined;
  /** Every request: "GET /v2/…". */
  readonly requests: string[] = [];
  /** Addresses that it was asked for as a proxy. */
  readonly proxied: string[] = [];
  readonly #server: Server;
  readonly #target: string;
  readonly #stalled: (() => void)[] = [];
  #releases = 0;

  private constructor(target: string) {
    this.#target = target;
    this.#server = createServer((incoming, response) => void this.#serve(incoming, response));
  }

  static async start(target: string): Promise<LyingProxy> {
    const proxy = new LyingProxy(target);
    proxy.#server.listen(0, "127.0.0.1");
    await once(proxy.#server, "listening");
    return proxy;
  }

  get host(): string {
    const address = this.#server.address();
    if (typeof address !== "object" || address === null) throw new Error("not listening");
    return `127.0.0.1:${address.port}`;
  }

  /** How many times this digest was asked for as a blob. */
  fetched(digest: string): number {
    return this.requests.filter((line) => line.startsWith("GET ") && line.endsWith(`/blobs/${digest}`)).length;
  }

  get stalling(): boolean {
    return this.#stalled.length > 0;
  }

  /** What stalled goes on. */
  release(): void {
    this.lie = () => undefined;
    this.#releases += 1;
    for (const go of this.#stalled.splice(0)) go();
  }

  async #serve(incoming: IncomingMessage, response: ServerResponse): Promise<void> {
    // Asked as an HTTP proxy it gets the whole address.
    const path = (incoming.url ?? "/").replace(/^http:\/\/[^/]+/, "");
    if (path !== incoming.url) this.proxied.push(incoming.url ?? "");
    const method = incoming.method ?? "GET";
    this.requests.push(`${method} ${path}`);
    response.on("error", () => {});
    const lie = this.lie(path, method);
    const releases = this.#releases;
    if (lie?.type === "status") {
      response.writeHead(lie.status, { "content-type": "application/json", ...lie.headers });
      response.end(lie.body ?? "");
      return;
    }
    if (lie?.type === "endless") {
      response.writeHead(200, { "content-type": "application/octet-stream" });
      const chunk = Buffer.alloc(1024 * 1024);
      const more = (): void => {
        while (!response.destroyed) if (!response.write(chunk)) return void response.once("drain", more);
      };
      more();
      return;
    }
    const [hostname, port] = this.#target.split(":");
    const upstream = request({ hostname, port, path, method, headers: { ...incoming.headers, host: this.#target } });
    upstream.on("error", () => response.destroy());
    upstream.end();
    const [answer] = (await once(upstream, "response")) as [IncomingMessage];
    const chunks: Buffer[] = [];
    for await (const chunk of answer as AsyncIterable<Buffer>) chunks.push(chunk);
    const whole = Buffer.concat(chunks);
    const body = lie?.type === "body" && method === "GET" ? lie.change(whole) : whole;
    const headers = { ...answer.headers };
    if (lie?.type === "body") {
      delete headers["content-length"];
      delete headers["docker-content-digest"];
    }
    response.writeHead(answer.statusCode ?? 500, headers);
    if (lie?.type === "stall" && method === "GET") {
      response.write(body.subarray(0, lie.bytes));
      // It may have been released while the registry was asked.
      if (releases === this.#releases) await new Promise<void>((resolve) => this.#stalled.push(resolve));
      response.end(body.subarray(lie.bytes));
    } else if (lie?.type === "cut" && method === "GET") {
      response.write(body.subarray(0, lie.bytes), () => response.destroy());
    } else response.end(method === "HEAD" ? undefined : body);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.release();
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}
