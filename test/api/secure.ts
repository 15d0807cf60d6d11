import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";
import type { Limits } from "../../src/api/access/admission.ts";
import { createCredential, type NewCredential, type Secret } from "../../src/api/access/credentials.ts";
import { ensureAuthority } from "../../src/api/access/keys.ts";
import { type ApiServer, createApiServer } from "../../src/api/server.ts";
import { silentLogger } from "../../src/system/log.ts";
import { FakeBackend } from "./fake-backend.ts";
import type { Answer, RawOptions } from "./raw.ts";

/** An API over TLS with a fake backend, and keys in a directory of its own. */
export class SecureServed {
  readonly backend = new FakeBackend();
  readonly directory: string;
  readonly keys: string;
  readonly server: ApiServer;
  authority = "";

  private constructor(
    directory: string,
    options: { limits?: Limits; maxConnections?: number; watchCapacity?: number },
  ) {
    this.directory = directory;
    this.keys = join(directory, "lib", "api");
    const { watchCapacity, ...secure } = options;
    this.server = createApiServer({
      backend: this.backend,
      socketPath: join(directory, "run", "gantry.sock"),
      log: silentLogger(),
      secure: { host: "127.0.0.1", port: 0, dir: this.keys, ...secure },
      ...(watchCapacity !== undefined && { watchCapacity }),
    });
  }

  static async open(options: { limits?: Limits; maxConnections?: number; watchCapacity?: number } = {}) {
    const served = new SecureServed(await mkdtemp(join(tmpdir(), "gantry-tls-")), options);
    await served.server.start();
    served.authority = (await ensureAuthority(served.keys)).certificate;
    return served;
  }

  get port(): number {
    const port = this.server.securePort;
    if (port === undefined) throw new Error("it does not listen");
    return port;
  }

  async credential(wanted: Partial<NewCredential> = {}): Promise<Secret> {
    const defaults = { name: undefined, role: "admin", kind: "certificate", days: 1, now: Date.now() } as const;
    return (await createCredential(this.keys, { ...defaults, ...wanted })).secret;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.close();
    await rm(this.directory, { recursive: true });
  }

  /** A TLS connection on which anything may be sent. */
  connect(secret?: Secret, more: ConnectionOptions = {}): Promise<TLSSocket> {
    return new Promise((resolve, reject) => {
      const key = secret?.kind === "certificate" ? { key: secret.key, cert: secret.certificate } : {};
      const socket = connectTls({ port: this.port, host: "127.0.0.1", ca: this.authority, ...key, ...more }, () =>
        resolve(socket),
      );
      socket.once("error", reject);
    });
  }

  async ask(path: string, secret?: Secret, options: RawOptions = {}): Promise<Answer> {
    const socket = await this.connect(secret);
    const bearer = secret?.kind === "token" ? { authorization: `Bearer ${secret.token}` } : {};
    return new Promise((resolve, reject) => {
      const { method = "GET", headers = {}, body } = options;
      const length = body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) };
      const all = { ...length, ...bearer, ...headers, connection: "close" };
      const sent = request({ createConnection: () => socket, path, method, headers: all }, (response) => {
        answerOf(response).then(resolve, reject);
      });
      sent.on("error", reject);
      sent.end(body);
    });
  }
}

async function answerOf(response: IncomingMessage): Promise<Answer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString("utf8");
  const json = () => JSON.parse(text);
  return { status: response.statusCode ?? 0, headers: response.headers, text, json, asStatus: json };
}

/** All that comes back on `socket` till the end. */
export function rest(socket: TLSSocket): Promise<string> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.on("error", () => {});
    socket.on("close", () => resolve(Buffer.concat(chunks).toString("utf8")));
  });
}

/** Runs a command to its end, whatever its exit code. */
export function runCommand(
  command: string,
  args: readonly string[],
  env: Record<string, string>,
): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  return new Promise((resolve) => {
    execFile(command, args, { env: { ...process.env, ...env }, timeout: 30_000 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
      resolve({ code, stdout, stderr });
    });
  });
}
