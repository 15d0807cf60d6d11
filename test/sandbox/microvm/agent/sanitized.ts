import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { AGENT_SOURCE } from "../../../../src/sandbox/microvm/boot/agent.ts";

/** What touches the machine; stubs.c stands in for it. */
const LEFT_OUT = new Set(["child.c", "rootfs.c", "rights.c", "cgroup.c"]);

/** The agent with ASan and UBSan, for the host. @returns its directory (to be removed) and path */
export function buildSanitized(): { readonly directory: string; readonly path: string } {
  const directory = mkdtempSync(join(tmpdir(), "gantry-agent-"));
  const path = join(directory, "agent");
  const sources = readdirSync(AGENT_SOURCE).filter((name) => name.endsWith(".c") && !LEFT_OUT.has(name));
  execFileSync("gcc", [
    ...["-std=c11", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-DAGENT_TEST", "-I", AGENT_SOURCE],
    ...["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer", "-o", path],
    ...sources.map((name) => join(AGENT_SOURCE, name)),
    join(import.meta.dirname, "stubs.c"),
  ]);
  return { directory, path };
}

/** A running one, with its channel. */
export class SanitizedAgent {
  readonly channel: Duplex;
  readonly #path: string;
  readonly #process: ChildProcess;
  #said = "";
  log = "";

  constructor(path: string) {
    this.#path = path;
    this.#process = spawn(path, [], { stdio: ["ignore", "pipe", "pipe", "pipe", "pipe"] });
    const channel = this.#process.stdio[3];
    if (!channel || !("write" in channel) || !("read" in channel)) throw new Error("no channel");
    this.channel = channel as Duplex;
    this.channel.on("error", () => {
      // it has ended: `ended` tells how
    });
    this.#process.stderr?.on("data", (chunk: Buffer) => {
      this.#said += chunk.toString("utf8");
    });
    this.#process.stdio[4]?.on("data", (chunk: Buffer) => {
      this.log += chunk.toString("utf8");
    });
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** What the sanitizers said. */
  get said(): string {
    return this.#said;
  }

  async stop(): Promise<void> {
    this.channel.destroy();
    if (this.running) {
      // It ends by itself when its channel does; a deadline in case it does not.
      const deadline = setTimeout(() => this.#process.kill("SIGKILL"), 20_000);
      await once(this.#process, "exit");
      clearTimeout(deadline);
    }
    this.#killChildren();
  }

  /** In a micro-VM nothing outlives process 1; here a container that was created and never started does. */
  #killChildren(): void {
    for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        if (readlinkSync(`/proc/${pid}/exe`) === this.#path) process.kill(Number(pid), "SIGKILL");
      } catch {
        // it is the kernel's, or has just ended
      }
    }
  }
}
