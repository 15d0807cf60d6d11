/**
 * The name server of a root: one dnsmasq that listens on the gateway of the pods' bridge only, answers for the cluster's
 * domain out of one file, and passes everything else on to the host's own servers. It takes up a changed file by itself
 * (--hostsdir), and lives on while the daemon is away.
 */
import { spawn } from "node:child_process";
import { chmodSync, closeSync, openSync, readdirSync, renameSync, truncateSync, writeFileSync } from "node:fs";
import { chmod, mkdir, readFile, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { checkAgainstHost } from "../network/port-check.ts";
import { argumentsOf, identify, isAlive, type ProcessId, sendSignal } from "../sandbox/namespace/proc.ts";
import { errnoOf, GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Paths } from "../system/paths.ts";
import type { ClusterDns } from "./contract.ts";

const PROGRAM = "dnsmasq";
const PORT = 53;
const SIGTERM = 15;
const SIGKILL = 9;
/** ms */
const START_LIMIT = 5000;
const END_LIMIT = 3000;
/** A log beyond this is begun anew. Bytes. */
const LOG_LIMIT = 256 * 1024;

/** Not below the root, whose directories may be closed to the user that the server runs as. */
export function namesFolder({ rootId }: Paths): string {
  return rootId === "" ? "/run/gantry-names" : `/run/gantry-names-${rootId}`;
}

export class DnsServer {
  readonly #paths: Paths;
  readonly #folder: string;
  #process: ProcessId | undefined;
  #names: string | undefined;

  constructor(paths: Paths) {
    this.#paths = paths;
    this.#folder = namesFolder(paths);
  }

  /** True while it runs, as far as can be told without asking it. */
  isRunning(): boolean {
    return this.#process !== undefined && isAlive(this.#process);
  }

  /** What else has its port on that address; undefined: nothing. Binds it for a moment. */
  async obstacle(server: string): Promise<string | undefined> {
    if (this.#own().length > 0) return undefined;
    try {
      const port = { hostIP: server, hostPort: PORT, containerPort: PORT };
      await checkAgainstHost([
        { ...port, protocol: "UDP" },
        { ...port, protocol: "TCP" },
      ]);
      return undefined;
    } catch (error) {
      const holder = isGantryError(error, "port-in-use") ? `is used by ${error.details["holder"]}` : messageOf(error);
      return `port ${PORT} of ${server} ${holder}`;
    }
  }

  /**
   * Starts it, or goes on with one that an earlier daemon started. One with other arguments is replaced.
   * @throws GantryError command-missing, runtime-failed with what it said
   */
  async ensure(dns: ClusterDns, signal: AbortSignal): Promise<void> {
    if (this.isRunning()) return;
    const wanted = await this.#arguments(dns);
    const [own, ...others] = this.#own();
    if (own !== undefined && others.length === 0 && argumentsOf(own.pid).slice(1).join("\n") === wanted.join("\n")) {
      this.#process = own;
      return;
    }
    await this.#end();
    await this.#makeFolder();
    if (this.#names !== undefined) this.#put(this.#names);
    this.#process = await this.#start(wanted, signal);
  }

  /** Replaces all names: readers see the old file or the new one. */
  async write(names: string): Promise<void> {
    if (this.#names === names) return;
    await this.#makeFolder();
    this.#put(names);
    this.#names = names;
  }

  /** Keeps its log small. */
  async trimLog(): Promise<void> {
    const size = await stat(this.#log).then(
      (found) => found.size,
      () => 0,
    );
    if (size > LOG_LIMIT) truncateSync(this.#log); // it appends
  }

  /** Ends it and removes its files. */
  async remove(): Promise<void> {
    await this.#end();
    await rm(this.#folder, { recursive: true, force: true });
    await Promise.all([this.#log, this.#pidFile].map((file) => rm(file, { force: true })));
    this.#names = undefined;
  }

  get #log(): string {
    return join(this.#paths.run, "dns.log");
  }

  get #pidFile(): string {
    return join(this.#paths.run, "dns.pid");
  }

  /** Readable for the server, whatever our umask. */
  async #makeFolder(): Promise<void> {
    const hosts = join(this.#folder, "hosts");
    await mkdir(hosts, { recursive: true });
    await Promise.all([this.#folder, hosts].map((path) => chmod(path, 0o755)));
  }

  #put(names: string): void {
    const temporary = join(this.#folder, "names.tmp");
    writeFileSync(temporary, names);
    chmodSync(temporary, 0o644);
    renameSync(temporary, join(this.#folder, "hosts", "names"));
  }

  /** See dnsmasq(8). */
  async #arguments({ server, domain }: ClusterDns): Promise<string[]> {
    return [
      "--keep-in-foreground",
      "--conf-file=/dev/null",
      `--pid-file=${this.#pidFile}`,
      "--log-facility=-",
      "--user=nobody",
      `--group=${await unprivilegedGroup()}`,
      `--listen-address=${server}`,
      "--bind-interfaces",
      "--no-hosts",
      `--hostsdir=${join(this.#folder, "hosts")}`,
      `--local=/${domain}/`,
      "--resolv-file=/etc/resolv.conf",
      "--domain-needed",
      "--local-ttl=5", // as CoreDNS has it
      "--cache-size=1000",
    ];
  }

  async #start(args: readonly string[], signal: AbortSignal): Promise<ProcessId> {
    await mkdir(this.#paths.run, { recursive: true });
    await rm(this.#pidFile, { force: true });
    const log = openSync(this.#log, "a", 0o600);
    truncateSync(this.#log);
    let failed: Error | undefined;
    let ended = false;
    let pid: number | undefined;
    try {
      const path = `${process.env["PATH"] ?? ""}:/usr/sbin:/usr/bin:/sbin:/bin`;
      const child = spawn(PROGRAM, args, {
        cwd: "/",
        env: { PATH: path },
        detached: true,
        stdio: ["ignore", log, log],
      });
      child.on("error", (error) => {
        failed = error;
      });
      child.on("exit", () => {
        ended = true;
      });
      child.unref();
      pid = child.pid;
    } finally {
      closeSync(log);
    }
    const deadline = performance.now() + START_LIMIT;
    // It writes its pid once it listens.
    for (let waitMs = 2; !signal.aborted; waitMs = Math.min(2 * waitMs, 50)) {
      if (failed !== undefined) throw startError(failed);
      const found = pid === undefined ? undefined : identify(pid);
      if (ended) throw await this.#refused();
      if (found !== undefined && (await readFile(this.#pidFile, "utf8").catch(() => "")).trim() === String(pid))
        return found;
      if (performance.now() > deadline) {
        if (pid !== undefined) sendSignal(pid, SIGKILL);
        throw await this.#refused();
      }
      await sleep(waitMs);
    }
    if (pid !== undefined) sendSignal(pid, SIGKILL);
    throw new GantryError("cancelled", "the name server was not started: the daemon ends", { kind: "system" });
  }

  async #refused(): Promise<GantryError> {
    const said = (await readFile(this.#log, "utf8").catch(() => "")).trim().split("\n").slice(-2).join(" · ");
    return new GantryError("runtime-failed", `${PROGRAM} does not start${said === "" ? "" : `: ${said}`}`, {
      kind: "system",
      hint: `See ${this.#log}.`,
    });
  }

  /** Those of this root, whoever started them. */
  #own(): ProcessId[] {
    const mark = `--pid-file=${this.#pidFile}`;
    return readdirSync("/proc").flatMap((name) => {
      if (!/^\d+$/.test(name)) return [];
      const [program = "", ...args] = argumentsOf(Number(name));
      const found = basename(program) === PROGRAM && args.includes(mark) ? identify(Number(name)) : undefined;
      return found === undefined ? [] : [found];
    });
  }

  async #end(): Promise<void> {
    const own = this.#own();
    this.#process = undefined;
    for (const { pid } of own) sendSignal(pid, SIGTERM);
    const deadline = performance.now() + END_LIMIT;
    for (let waitMs = 1; own.some(isAlive); waitMs = Math.min(2 * waitMs, 50)) {
      if (performance.now() > deadline) for (const { pid } of own.filter(isAlive)) sendSignal(pid, SIGKILL);
      await sleep(waitMs);
    }
  }
}

function startError(cause: Error): GantryError {
  if (errnoOf(cause) !== "ENOENT")
    return new GantryError("runtime-failed", `cannot start ${PROGRAM}: ${cause.message}`, { kind: "system", cause });
  return new GantryError("command-missing", `${PROGRAM} is not installed`, {
    cause,
    hint: "Install dnsmasq (Debian: apt-get install dnsmasq-base).",
  });
}

/** The group of `nobody`: Debian calls it nogroup, others nobody. */
async function unprivilegedGroup(): Promise<string> {
  const groups = await readFile("/etc/group", "utf8").catch(() => "");
  return /^nogroup:/m.test(groups) ? "nogroup" : "nobody";
}
