import { execFileSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { layout, type Paths } from "../../../src/system/paths.ts";
import { removeTree } from "../../setup/remove-tree.ts";
import { type ApiAnswer, callApi } from "./api.ts";
import { eventually } from "./eventually.ts";
import { leftoversOf } from "./leftovers.ts";
import { isReady, type PodView, parsePodList } from "./pods.ts";
import { type CliOptions, type CliResult, type DaemonProcess, runCli, spawnDaemon } from "./process.ts";
import { type RuntimeClass, withRuntimeClass } from "./runtime-class.ts";

export interface HostOptions {
  /** A prepared image directory that is copied into the root: see fixture.ts. */
  readonly images?: string;
  /** The `gantry` to run; default: the sources. */
  readonly launcher?: string;
  /** Another program that runs the daemon, with the same flags; default: `gantry daemon`. */
  readonly daemonMain?: string;
  /** What pods get whose manifests do not say. Default: "namespace", by not asking for anything. */
  readonly runtimeClass?: RuntimeClass;
  /** Where kernel, initramfs and templates of micro-VMs are shared with other hosts; default: its own. */
  readonly vm?: { readonly boot: string; readonly templates?: string };
  /** Micro-VMs on standby; default 0, since each start of a pod is followed by the work for the next. */
  readonly standby?: number;
}

export interface DaemonOptions {
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Default true: wait until it answers. */
  readonly wait?: boolean;
}

const EVICTION = ["nodefsAvailable", "nodefsInodesFree", "imagefsAvailable", "imagefsInodesFree", "memoryAvailable"];

/** One root with its manifest folder and at most one daemon at a time; everything a test needs to act as a user. */
export class TestHost implements AsyncDisposable {
  readonly directory: string;
  readonly root: string;
  readonly manifests: string;
  readonly paths: Paths;
  readonly runtimeClass: RuntimeClass | undefined;
  readonly launcher: string | undefined;
  readonly #daemonMain: string | undefined;
  readonly #templates: string | undefined;
  readonly #standby: number;
  daemon: DaemonProcess | undefined;

  constructor(options: HostOptions = {}) {
    // Short: a path of a unix socket has at most 107 bytes.
    this.directory = mkdtempSync(join(tmpdir(), "g-"));
    chmodSync(this.directory, 0o711); // pods with a user namespace have to get through
    this.root = join(this.directory, "r");
    this.manifests = join(this.directory, "m");
    this.paths = layout(this.root);
    this.runtimeClass = options.runtimeClass;
    this.launcher = options.launcher;
    this.#daemonMain = options.daemonMain;
    this.#templates = options.vm?.templates;
    this.#standby = options.standby ?? 0;
    mkdirSync(this.manifests);
    mkdirSync(this.paths.lib, { recursive: true });
    // cp keeps the holes of the image files, which are far bigger than what they hold.
    if (options.images !== undefined) execFileSync("cp", ["-a", options.images, this.paths.images]);
    if (options.vm !== undefined) symlinkSync(options.vm.boot, join(this.paths.lib, "microvm"));
  }

  /** Starts `gantry daemon` and waits until it answers. @throws Error with its log when it ends instead */
  async startDaemon(options: DaemonOptions = {}): Promise<DaemonProcess> {
    this.#shareTemplates();
    const standby = ["--set", `microvm.standby.keep=${this.#standby}`];
    // How full the disk of whoever runs the tests is, is none of their business.
    const calm = EVICTION.flatMap((signal) => ["--set", `eviction.${signal}=0`]);
    const args = ["--root", this.root, "--manifests", this.manifests, ...standby, ...calm, ...(options.args ?? [])];
    const daemon = spawnDaemon(args, join(this.directory, "daemon.log"), {
      env: options.env ?? {},
      launcher: this.launcher,
      main: this.#daemonMain,
    });
    this.daemon = daemon;
    if (options.wait === false) return daemon;
    const answers = async (): Promise<boolean> => {
      if (daemon.exitCode() !== undefined) return true;
      return (await this.api("GET", "/healthz")).status === 200;
    };
    await eventually(answers, { what: "the daemon's start", explain: () => daemon.log() });
    if (daemon.exitCode() !== undefined)
      throw new Error(`the daemon ended with ${daemon.exitCode()}:\n${daemon.log()}`);
    return daemon;
  }

  get #templateLink(): string {
    return join("/dev/shm", `gantry-templates-${this.paths.rootId}`);
  }

  /** A daemon takes its templates, and so the link, away when it leaves the host without a pod. */
  #shareTemplates(): void {
    const link = this.#templateLink;
    if (this.#templates !== undefined && !existsSync(link)) symlinkSync(this.#templates, link);
  }

  /** Ends the daemon as a crash does (SIGKILL), or politely with SIGTERM. What runs goes on running. */
  async stopDaemon(signal: NodeJS.Signals = "SIGTERM"): Promise<number | undefined> {
    const code = await this.daemon?.stop(signal);
    this.daemon = undefined;
    return code;
  }

  /** `gantry ARGS --root …`, to its end. */
  gantry(...args: readonly string[]): Promise<CliResult> {
    return this.gantryWith({}, ...args);
  }

  gantryWith(options: CliOptions, ...args: readonly string[]): Promise<CliResult> {
    const env = { GANTRY_ROOT: this.root, ...options.env };
    return runCli(args, { launcher: this.launcher, ...options, env });
  }

  api(method: string, path: string, body?: string): Promise<ApiAnswer> {
    return callApi(this.paths.socket, method, path, body);
  }

  /** As editors do it: another file, renamed over the old one. */
  write(name: string, text: string): void {
    const temporary = join(this.manifests, `.${name}.tmp`);
    writeFileSync(temporary, this.#classed(text));
    renameSync(temporary, join(this.manifests, name));
  }

  /** As `>` of a shell does it: truncated, then written. */
  writeInPlace(name: string, text: string): void {
    writeFileSync(join(this.manifests, name), this.#classed(text));
  }

  #classed(text: string): string {
    return this.runtimeClass === "microvm" ? withRuntimeClass(text, "microvm") : text;
  }

  remove(name: string): void {
    rmSync(join(this.manifests, name));
  }

  async pods(): Promise<PodView[]> {
    return parsePodList((await this.api("GET", "/api/v1/pods")).body);
  }

  /** The pod, once `accept` says so. */
  waitFor(name: string, accept: (pod: PodView) => boolean, what: string, deadlineMs = 60_000): Promise<PodView> {
    const probe = async (): Promise<PodView | undefined> =>
      (await this.pods()).find((pod) => pod.metadata.name === name && accept(pod));
    return eventually(probe, { what: `pod ${name}: ${what}`, deadlineMs, explain: () => this.explain() });
  }

  waitReady(name: string): Promise<PodView> {
    return this.waitFor(name, isReady, "Ready");
  }

  waitPhase(name: string, phase: string): Promise<PodView> {
    return this.waitFor(name, (pod) => pod.status.phase === phase, phase);
  }

  async waitGone(name: string, deadlineMs = 60_000): Promise<void> {
    const gone = async (): Promise<boolean> => !(await this.pods()).some((pod) => pod.metadata.name === name);
    await eventually(gone, { what: `the end of pod ${name}`, deadlineMs, explain: () => this.explain() });
  }

  /** What `gantry status` and the end of the daemon's log say, for the message of a failed wait. */
  async explain(): Promise<string> {
    const status = await this.gantry("status", "-o", "wide");
    const log = this.daemon?.log().trimEnd().split("\n").slice(-20) ?? ["(no daemon)"];
    return `--- status\n${status.stdout}${status.stderr}--- end of the daemon's log\n${log.map((line) => line.slice(0, 400)).join("\n")}`;
  }

  /** Removes every pod, without waiting for their grace. */
  async removePods(): Promise<void> {
    if (this.daemon === undefined || this.daemon.exitCode() !== undefined) await this.startDaemon();
    for (const pod of await this.pods()) {
      const { namespace, name } = pod.metadata;
      await this.api("DELETE", `/api/v1/namespaces/${namespace}/pods/${name}?gracePeriodSeconds=0`);
    }
    for (const entry of readdirSync(this.manifests))
      rmSync(join(this.manifests, entry), { recursive: true, force: true });
    const gone = async (): Promise<boolean> => (await this.pods()).length === 0;
    await eventually(gone, { what: "the end of all pods", deadlineMs: 60_000, explain: () => this.explain() });
  }

  /** Leaves the machine as it was. @throws Error naming what Gantry did not clean up by itself */
  async [Symbol.asyncDispose](): Promise<void> {
    const problems: string[] = [];
    try {
      const hasRun = existsSync(this.paths.database);
      if (hasRun) await this.removePods();
      await this.stopDaemon();
      if (hasRun) problems.push(...(await leftoversOf(this.paths)));
    } finally {
      await this.stopDaemon("SIGKILL");
      // That of a daemon which never got so far as to take it away.
      if (this.#templates !== undefined) rmSync(this.#templateLink, { force: true });
      problems.push(...(await removeTree(this.directory)));
    }
    if (problems.length > 0) throw new Error(`Gantry left behind:\n  ${[...new Set(problems)].join("\n  ")}`);
  }

  dispose(): Promise<void> {
    return this[Symbol.asyncDispose]();
  }
}
