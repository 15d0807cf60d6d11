import { spawn } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FakeSession, type Served, serve, until } from "../api/fake-backend.ts";
import { CliBackend } from "./support/backend.ts";
import { MAIN, spawnCli } from "./support/run.ts";

let backend: CliBackend;
let served: Served;

beforeEach(async () => {
  backend = new CliBackend();
  served = await serve({ backend });
});
afterEach(() => served.close());

const gantry = (args: readonly string[], options: Parameters<typeof spawnCli>[1] = {}) =>
  spawnCli(["--root", served.directory, ...args], options);

describe("the real command", () => {
  test("exit codes", async () => {
    backend.set({ name: "web" });
    const results = await Promise.all([
      gantry(["status"]),
      gantry(["status", "nobody"]),
      gantry(["status", "--nonsense"]),
      spawnCli(["--root", "/nowhere", "status"]),
    ]);
    expect(results.map(({ code }) => code)).toEqual([0, 3, 2, 4]);
    expect(results[0]?.stdout).toContain("web");
    expect(results.map(({ stdout }) => stdout).join("")).not.toContain("\u001b");
  });

  test("a reader that goes away ends it without a word", async () => {
    for (let index = 0; index < 3000; index += 1) backend.set({ name: `pod-${index}` });
    const { code, stderr } = await gantry(["status", "-o", "json"], { closeStdout: true });
    expect([code, stderr]).toEqual([0, ""]);
  });

  test("Ctrl-C ends a watch with 130, SIGTERM with 143", async () => {
    backend.set({ name: "web" });
    const stopBy = (signal: NodeJS.Signals) => {
      let sent = false; // a second one ends it wherever it is
      return gantry(["status", "-w"], {
        onStdout: (_text, kill) => {
          if (!sent) kill(signal);
          sent = true;
        },
      });
    };
    expect(await stopBy("SIGINT")).toMatchObject({ code: 130, stderr: "" });
    expect(await stopBy("SIGTERM")).toMatchObject({ code: 143, stderr: "" });
  });

  test("a watch prints every change, and ends with 4 when the daemon goes", async () => {
    backend.set({ name: "web", phase: "Pending" });
    let step = 0;
    const watching = gantry(["status", "-w"], {
      onStdout: (text) => {
        if (step === 0 && text.includes("ContainerCreating")) {
          step = 1;
          backend.set({ name: "web" });
        } else if (step === 1 && text.includes("Running")) {
          step = 2;
          backend.remove("web");
        } else if (step === 2 && text.includes("Deleted")) {
          step = 3;
          void served.close();
        }
      },
    });
    const { code, stdout, stderr } = await watching;
    expect(code).toBe(4);
    expect(stdout.trimEnd().split("\n")).toHaveLength(4);
    expect(stderr).toContain("the daemon has stopped");
  });

  test("validate reads stdin", async () => {
    const { code, stdout } = await gantry(["validate", "-"], { input: "kind: Pod\napiVersion: v1\n" });
    expect(code).toBe(1);
    expect(stdout).toContain("stdin:1:1: error:");
  });

  test("logs -f goes on until the container ends", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gantry-log-"));
    try {
      backend.logPath = join(directory, "0.log");
      backend.logRuns = true;
      await writeFile(backend.logPath, "2026-01-01T00:00:00Z stdout F one\n");
      backend.set({ name: "web" });
      let grown = false;
      const { code, stdout } = await gantry(["logs", "-f", "web"], {
        onStdout: (text) => {
          if (!grown && text.includes("one")) {
            grown = true;
            void writeFile(backend.logPath, "2026-01-01T00:00:00Z stdout F two\n", { flag: "a" });
          } else if (text.includes("two")) backend.logRuns = false;
        },
      });
      expect([code, stdout]).toEqual([0, "one\ntwo\n"]);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });
});

describe("exec", () => {
  test("passes on output, errors, the end of stdin, and the exit code", async () => {
    backend.set({ name: "web" });
    backend.session = async (request) => {
      const session = new FakeSession();
      let read = "";
      session.stdin.on("data", (chunk: Buffer) => {
        read += chunk.toString();
      });
      session.stdin.on("end", () => {
        session.stdout.write(`got ${read} for ${request.command.join(" ")}\n`);
        session.stderr.write("and complained\n");
        session.end(42);
      });
      return session;
    };
    const result = await gantry(["exec", "-i", "web", "--", "cat", "-n"], { input: "hello" });
    expect(result).toMatchObject({ code: 42, stdout: "got hello for cat -n\n", stderr: "and complained\n" });
  });

  test("without -i it does not wait for stdin", async () => {
    backend.set({ name: "web" });
    const asked: boolean[] = [];
    backend.session = async (request) => {
      asked.push(request.stdin);
      const session = new FakeSession();
      session.stdout.write("done\n");
      session.end(0);
      return session;
    };
    const child = spawn(process.execPath, [MAIN, "--root", served.directory, "exec", "web", "--", "true"], {
      stdio: ["pipe", "pipe", "inherit"], // stdin stays open
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect([code, asked]).toEqual([0, [false]]);
  });

  test("-t without a terminal carries on without one", async () => {
    backend.set({ name: "web" });
    backend.session = async () => {
      const session = new FakeSession();
      session.end(0);
      return session;
    };
    const { code, stderr } = await gantry(["exec", "-it", "web", "--", "sh"]);
    expect([code, stderr]).toEqual([0, "Unable to use a terminal: the input is none.\n"]);
    expect(backend.calls.at(-1)).toContain('"tty":false');
  });

  test("on a terminal: raw mode, its size and later sizes, Ctrl-C goes to the command", async () => {
    backend.set({ name: "web" });
    const session = new FakeSession();
    let typed = "";
    session.stdin.on("data", (chunk: Buffer) => {
      typed += chunk.toString();
    });
    backend.session = async () => session;
    const terminal = spawnPty(process.execPath, [MAIN, "--root", served.directory, "exec", "-it", "web", "--", "sh"], {
      cols: 91,
      rows: 33,
    });
    let shown = "";
    terminal.onData((text) => {
      shown += text;
    });
    const ended = new Promise<number>((resolve) => terminal.onExit(({ exitCode }) => resolve(exitCode)));
    await until(() => session.sizes.includes("91x33"), "the first size");
    session.stdout.write("$ ");
    await until(() => shown.includes("$ "), "the prompt");
    terminal.resize(70, 20);
    await until(() => session.sizes.includes("70x20"), "the second size");
    terminal.write("\u0003");
    await until(() => typed === "\u0003", "Ctrl-C");
    session.end(7);
    expect(await ended).toBe(7);
  });
});
