/** Real repositories in a temporary folder, and a source over them whose pods are what a test says. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { identityOf, type LoadedObject } from "../../../src/manifest/index.ts";
import { parseBytes } from "../../../src/secrets/index.ts";
import { type GitPorts, type GitSourceInput, gitSourceSchema, type PodFact } from "../../../src/source/git/index.ts";
import { GitSource } from "../../../src/source/git/source.ts";
import type { SourceState } from "../../../src/source/index.ts";
import type { NewEvent, TextTable } from "../../../src/store/contract.ts";
import type { Clock } from "../../../src/system/clock.ts";
import { silentLogger } from "../../../src/system/log.ts";

export class Lab {
  readonly path = mkdtempSync(join(tmpdir(), "gantry-git-"));
  readonly events: NewEvent[] = [];
  readonly #sources: GitSource[] = [];
  readonly store: TextTable = memoryTable();

  /** A repository with a work tree; it is fetched from as file. */
  repository(name = "origin"): WorkTree {
    return new WorkTree(join(this.path, name));
  }

  /** A source that was started; it fetches only when it is told to. */
  async source(
    input: Partial<GitSourceInput> & { readonly url: string },
    ports: Partial<GitPorts> = {},
  ): Promise<TestSource> {
    const spec = gitSourceSchema.parse({ name: "pods", intervalSeconds: 86_400, ...input });
    const pods: PodFact[] = [];
    const hooks = { onLook: () => {} };
    let state: SourceState = { objects: [], problems: [], held: undefined };
    const source: GitSource = new GitSource(spec, {
      ...this.ports(),
      look: async () => {
        state = await source.read();
        hooks.onLook();
      },
      pods: () => pods,
      ...ports,
    });
    this.#sources.push(source);
    await source.start(() => {});
    state = await source.read();
    return { source, pods, hooks, state: () => state, read: () => source.read() };
  }

  /** A daemon without pods. */
  ports(): GitPorts {
    return {
      dir: join(this.path, "copies"),
      store: this.store,
      clock: still(),
      log: silentLogger(),
      random: () => 0.5,
      event: (event) => this.events.push(event),
      parse: (file, bytes) => parseBytes(file, bytes, []),
      check: () => [],
      look: async () => {},
      pods: () => [],
      deadlineMs: 300_000,
      settleMs: 0,
    };
  }

  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.stop()));
    rmSync(this.path, { recursive: true, force: true });
  }
}

export interface TestSource {
  readonly source: GitSource;
  /** What the daemon would tell of its pods; a test fills it. */
  readonly pods: PodFact[];
  /** `onLook` is called when the daemon has taken over what the source says. */
  readonly hooks: { onLook: () => void };
  /** As of the last look of the daemon. */
  state(): SourceState;
  read(): Promise<SourceState>;
}

/** A clock whose timers never fire. */
export function still(now: () => number = Date.now): Clock {
  return { now, setTimeout: () => undefined, clearTimeout: () => {}, ofHost: (ms) => ms };
}

export class WorkTree {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
    mkdirSync(path, { recursive: true });
    this.git("init", "--quiet", "--initial-branch=main");
    this.git("config", "user.name", "Ada Lovelace");
    this.git("config", "user.email", "ada@example.com");
    this.git("config", "commit.gpgSign", "false");
    this.git("config", "core.autocrlf", "false");
  }

  git(...args: readonly string[]): string {
    const env = {
      PATH: process.env["PATH"] ?? "",
      HOME: this.path,
      LANG: "C",
      GIT_CONFIG_GLOBAL: "/dev/null",
      GIT_CONFIG_NOSYSTEM: "1",
      ...this.env,
    };
    return execFileSync("git", args, { cwd: this.path, env, stdio: ["ignore", "pipe", "pipe"], maxBuffer: 2 ** 28 })
      .toString()
      .trim();
  }

  env: Readonly<Record<string, string>> = {};

  write(name: string, text: string | Buffer): this {
    const file = join(this.path, name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
    return this;
  }

  link(name: string, target: string): this {
    mkdirSync(dirname(join(this.path, name)), { recursive: true });
    symlinkSync(target, join(this.path, name));
    return this;
  }

  remove(name: string): this {
    rmSync(join(this.path, name), { recursive: true, force: true });
    return this;
  }

  /** Commits everything. @returns its id */
  commit(message = "Change", ...more: readonly string[]): string {
    this.git("add", "--all");
    this.git("commit", "--quiet", "--allow-empty", "-m", message, ...more);
    return this.git("rev-parse", "HEAD");
  }
}

export function pod(
  name: string,
  options: { readonly image?: string; readonly annotations?: Record<string, string> } = {},
): string {
  const { image = "busybox:1", annotations = {} } = options;
  const lines = Object.entries(annotations).map(([key, value]) => `    ${key}: ${JSON.stringify(value)}\n`);
  const block = lines.length === 0 ? "" : `  annotations:\n${lines.join("")}`;
  return `apiVersion: v1\nkind: Pod\nmetadata:\n  name: ${name}\n${block}spec:\n  containers:\n  - name: app\n    image: ${image}\n`;
}

export function identities(state: { readonly objects: readonly LoadedObject[] }): string[] {
  return state.objects.map(({ object }) => identityOf(object)).sort();
}

export function imageOf(state: { readonly objects: readonly LoadedObject[] }, name: string): string | undefined {
  return state.objects.flatMap(({ object }) =>
    object.kind === "Pod" && object.metadata.name === name ? [object.spec.containers[0]?.image] : [],
  )[0];
}

/** A pod as the daemon would tell of it. */
export function podFact(name: string, fact: Partial<PodFact> = {}): PodFact {
  return {
    key: `default/${name}`,
    origin: `git:pods/${name}.yaml:1`,
    synced: true,
    health: "Healthy",
    createdAt: 0,
    readySince: 0,
    message: undefined,
    final: false,
    version: "1",
    ...fact,
  };
}

/** What a call is refused with. */
export async function refusal(work: Promise<unknown>): Promise<{ readonly code: string; readonly message: string }> {
  try {
    await work;
  } catch (error) {
    if (error instanceof Error && "code" in error) return { code: String(error.code), message: error.message };
    throw error;
  }
  throw new Error("it was not refused");
}

function memoryTable(): TextTable {
  const rows = new Map<string, string>();
  return {
    list: () => [...rows].map(([key, text]) => ({ key, text })),
    put: (key, text) => void rows.set(key, text),
    remove: (key) => void rows.delete(key),
  };
}
