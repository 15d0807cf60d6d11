import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Kubectl, type LoopbackPort, loopbackPort } from "../../support/kubectl.ts";
import type { TestHost } from "./host.ts";
import { openOn, type Terminal } from "./terminal.ts";

export interface Ran {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
}

/** A line as it would be typed: words between blanks; what has blanks in it stands in single quotes. */
export function words(line: string): string[] {
  return [...line.matchAll(/((?:'[^']*'|[^\s'])+)/g)].map(([word]) => word.replaceAll("'", ""));
}

/** Somebody with a kubectl, before the daemon of a host. */
export class KubectlUser implements AsyncDisposable {
  readonly home: string;
  readonly #port: LoopbackPort;
  readonly #kubectl: Kubectl;

  private constructor(kubectl: Kubectl, port: LoopbackPort) {
    this.home = mkdtempSync(join(tmpdir(), "kubectl-home-"));
    this.#kubectl = kubectl;
    this.#port = port;
    const cluster = { name: "gantry", cluster: { server: port.url } };
    const context = { name: "gantry", context: { cluster: "gantry", user: "nobody" } };
    const config = { apiVersion: "v1", kind: "Config", "current-context": "gantry", clusters: [cluster] };
    mkdirSync(join(this.home, ".kube"));
    writeFileSync(join(this.home, ".kube/config"), JSON.stringify({ ...config, contexts: [context], users: [] }));
  }

  static async on(host: TestHost, kubectl: Kubectl): Promise<KubectlUser> {
    return new KubectlUser(kubectl, await loopbackPort(() => host.paths.socket));
  }

  get #env(): Record<string, string> {
    return { HOME: this.home, PATH: "/usr/bin:/bin", TMPDIR: this.home };
  }

  start(line: string, options: RunOptions = {}): ChildProcess {
    return spawn(this.#kubectl.path, words(line), { env: { ...this.#env, ...options.env } });
  }

  terminal(line: string): Terminal {
    return openOn(this.#kubectl.path, words(line), this.#env);
  }

  run(line: string, options: RunOptions = {}): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const child = this.start(line, options);
      const said = { out: "", err: "" };
      child.stdout?.on("data", (chunk: Buffer) => {
        said.out += chunk;
      });
      child.stderr?.on("data", (chunk: Buffer) => {
        said.err += chunk;
      });
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, ...said }));
      child.stdin?.on("error", () => {});
      child.stdin?.end(options.input);
    });
  }

  /** What it prints. @throws Error with all that it says, when it does not end well */
  async ok(line: string, options: RunOptions = {}): Promise<string> {
    const { code, out, err } = await this.run(line, options);
    if (code === 0) return out;
    throw new Error(`kubectl ${line}: ${code}\n${out}${err}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#port.close();
    rmSync(this.home, { recursive: true });
  }
}
