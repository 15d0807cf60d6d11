import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { eventually } from "../e2e/harness/eventually.ts";
import { freePort } from "../e2e/harness/pod-text.ts";

export interface RegistryOptions {
  /** With a certificate that it signs itself; see `certificate`. */
  readonly tls?: boolean;
  /** Lets in joe with the password "secret" only. */
  readonly password?: boolean;
  /** Serves what another one has. */
  readonly storage?: string;
}

/** bcrypt of "secret" with the least cost. */
const HTPASSWD = "joe:$2y$04$rdPf6o5BZI0t11d2LSI5V.sOSESMcA7M17gw0g5WLmvfeaHDhQ8R6\n";

/** Debian's docker-registry on loopback, with everything below `dir`. */
export class Registry implements AsyncDisposable {
  /** "127.0.0.1:PORT" */
  readonly host: string;
  readonly certificate: string | undefined;
  readonly storage: string;
  readonly #dir: string;
  readonly #config: string;
  #process: ChildProcess | undefined;

  private constructor(dir: string, port: number, options: RegistryOptions) {
    this.#dir = dir;
    this.host = `127.0.0.1:${port}`;
    this.storage = options.storage ?? join(dir, "storage");
    mkdirSync(this.storage, { recursive: true });
    this.certificate = options.tls === true ? makeCertificate(dir) : undefined;
    const passwords = join(dir, "htpasswd");
    writeFileSync(passwords, HTPASSWD);
    const http = {
      addr: this.host,
      ...(this.certificate !== undefined && { tls: { certificate: this.certificate, key: join(dir, "key.pem") } }),
    };
    const config = {
      version: 0.1,
      log: { level: "error", accesslog: { disabled: true } },
      storage: { filesystem: { rootdirectory: this.storage } },
      http,
      ...(options.password === true && { auth: { htpasswd: { realm: "test", path: passwords } } }),
    };
    this.#config = join(dir, "config.yml");
    writeFileSync(this.#config, JSON.stringify(config));
  }

  static async start(dir: string, options: RegistryOptions = {}): Promise<Registry> {
    mkdirSync(dir, { recursive: true });
    const registry = new Registry(dir, await freePort(), options);
    await registry.start();
    return registry;
  }

  async start(): Promise<void> {
    this.#process = spawn("docker-registry", ["serve", this.#config], { stdio: "ignore" });
    const port = Number(this.host.split(":")[1]);
    await eventually(() => answers(port), { what: "the registry" });
  }

  async stop(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child === undefined || child.exitCode !== null) return;
    child.kill("SIGKILL");
    await once(child, "exit");
  }

  /** Copies an image of an OCI layout into the registry. @param format "v2s2" is Docker's own */
  push(layout: string, tag: string, name: string, format: "oci" | "v2s2" = "oci"): void {
    const flags = ["--dest-tls-verify=false", "--dest-creds", "joe:secret", "--format", format];
    skopeo(["copy", "--quiet", ...flags, `oci:${layout}:${tag}`, `docker://${this.host}/${name}`]);
  }

  /** The directory's parts that make Gantry trust the certificate, below its <etc>. */
  trustIn(etc: string): void {
    if (this.certificate === undefined) return;
    const dir = join(etc, "certs.d", this.host);
    mkdirSync(dir, { recursive: true });
    copyFileSync(this.certificate, join(dir, "ca.crt"));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.#dir, { recursive: true, force: true });
  }
}

export function skopeo(args: readonly string[]): string {
  return execFileSync("skopeo", ["--insecure-policy", ...args], { stdio: ["ignore", "pipe", "pipe"] }).toString();
}

/** A registries.conf that says that these hosts speak HTTP. */
export function insecure(...hosts: readonly string[]): string {
  return hosts.map((host) => `[[registry]]\nlocation = "${host}"\ninsecure = true\n`).join("\n");
}

/** ~/.docker/config.json with one password. */
export function dockerConfig(host: string, username = "joe", password = "secret"): string {
  const auth = Buffer.from(`${username}:${password}`).toString("base64");
  return JSON.stringify({ auths: { [host]: { auth } } });
}

function makeCertificate(dir: string): string {
  const file = join(dir, "cert.pem");
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", join(dir, "key.pem")];
  execFileSync("openssl", ["req", "-x509", ...key, "-out", file, "-days", "2", ...subject], { stdio: "ignore" });
  return file;
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}
