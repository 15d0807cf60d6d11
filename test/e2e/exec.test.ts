import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { spawn as spawnPty } from "@lydell/node-pty";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { podOf, podText } from "./harness/sketch.ts";
import { eventually, RUNTIME_CLASSES, startCli, type TestHost, testHost } from "./harness.ts";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

let host: TestHost;
const sh = (script: string, input?: string | Buffer) =>
  host.gantryWith(
    input === undefined ? {} : { input },
    "exec",
    ...(input === undefined ? [] : ["-i"]),
    "box",
    "-c",
    "app",
    "--",
    "sh",
    "-c",
    script,
  );

describe.each(RUNTIME_CLASSES)("%s", (runtimeClass) => {
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    await host.startDaemon();
    host.write(
      "box.yaml",
      podOf("box", [{ name: "app" }, { name: "user", securityContext: { runAsUser: 1000 }, workingDir: "/www" }]),
    );
    host.write("stuck.yaml", podText("stuck", { image: "localhost/no/such:1" }));
    await host.waitReady("box");
  });
  afterAll(() => host.dispose());

  describe("without a terminal", () => {
    test.each([0, 1, 7, 126, 255])("exit code %i passes through", async (code) =>
      expect((await sh(`exit ${code}`)).code).toBe(code),
    );

    test("a signal is 128 and its number; no such command is 127 or said", async () => {
      expect((await sh("kill -TERM $$")).code).toBe(143);
      const missing = await host.gantry("exec", "box", "-c", "app", "--", "no-such-command");
      expect(missing.code).not.toBe(0);
      expect(missing.stderr).toContain("no-such-command");
    });

    test("both streams, in order each", async () => {
      const { stdout, stderr } = await sh("for i in 1 2 3; do echo out $i; echo err $i >&2; done");
      expect([stdout, stderr]).toEqual(["out 1\nout 2\nout 3\n", "err 1\nerr 2\nerr 3\n"]);
    });

    test("the container's user, directory, environment and arguments as they are", async () => {
      const { stdout } = await host.gantry(
        "exec",
        "box",
        "-c",
        "user",
        "--",
        "sh",
        "-c",
        'id -u; pwd; echo $E2E_POD; printf "%s|" "$@"',
        "x",
        "a b",
        "",
        "$HOME",
        "ü",
      );
      expect(stdout).toBe("1000\n/www\nbox\na b||$HOME|ü|");
    });

    test("stdin, to its end", async () => {
      expect((await sh("cat; echo done", "piped\n")).stdout).toBe("piped\ndone\n");
      expect((await sh("wc -c", Buffer.alloc(3_000_000, "x"))).stdout.trim()).toBe("3000000");
      // A command that does not read all of it ends nevertheless.
      expect((await sh("head -c 3; exit 5", Buffer.alloc(3_000_000, "x"))).code).toBe(5);
    });

    test("binary data, byte by byte", async () => {
      const data = randomBytes(2_000_000);
      const child = startCli(["exec", "-i", "box", "-c", "app", "--", "cat"], { env: { GANTRY_ROOT: host.root } });
      const chunks: Buffer[] = [];
      child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
      const ended = new Promise((resolve) => child.on("close", resolve));
      child.stdin?.end(data);
      expect(await ended).toBe(0);
      expect(Buffer.concat(chunks).equals(data)).toBe(true);
    });

    test("when the client goes, what it started goes", async () => {
      const running = async (): Promise<boolean> => (await sh("ps | grep -q '[s]leep 4711'")).code === 0;
      const child = startCli(["exec", "box", "-c", "app", "--", "sleep", "4711"], { env: { GANTRY_ROOT: host.root } });
      await eventually(running, { what: "the sleep" });
      child.kill("SIGKILL");
      await eventually(async () => !(await running()), { what: "the end of the sleep" });
    });

    test("what can't be: a container that does not run, none of that name, no command", async () => {
      const stuck = await host.gantry("exec", "stuck", "--", "true");
      expect([stuck.code, stuck.stderr]).toEqual([1, expect.stringContaining("does not run")]);
      const wrong = await host.gantry("exec", "box", "-c", "nope", "--", "true");
      expect([wrong.code, wrong.stderr]).toEqual([3, expect.stringContaining("nope")]);
      expect((await host.gantry("exec", "nobody", "--", "true")).code).toBe(3);
      expect((await host.gantry("exec", "box", "--")).code).toBe(2);
      expect((await host.gantry("exec", "box", "true")).code).toBe(2);
    });
  });

  describe("with a terminal", () => {
    interface Terminal {
      write(text: string): void;
      resize(columns: number, rows: number): void;
      /** Waits for text after everything that was waited for before. */
      see(text: string | RegExp): Promise<void>;
      readonly ended: Promise<number>;
    }

    function open(...command: readonly string[]): Terminal {
      const pty = spawnPty(process.execPath, [MAIN, "exec", "-it", "box", "-c", "app", "--", ...command], {
        cols: 90,
        rows: 30,
        env: { ...process.env, GANTRY_ROOT: host.root, TERM: "xterm" },
      });
      let output = "";
      let from = 0;
      pty.onData((data) => {
        output += data;
      });
      return {
        write: (text) => pty.write(text),
        resize: (columns, rows) => pty.resize(columns, rows),
        async see(text) {
          const probe = (): boolean => {
            const rest = output.slice(from);
            const found = typeof text === "string" ? rest.indexOf(text) : rest.search(text);
            if (found < 0) return false;
            from += found + 1;
            return true;
          };
          await eventually(probe, { what: `${text} on the terminal`, explain: () => JSON.stringify(output) });
        },
        ended: new Promise((resolve) => pty.onExit(({ exitCode }) => resolve(exitCode))),
      };
    }

    /** What is typed before the command has the terminal is typed at the shell. */
    const runs = (command: string): Promise<boolean> =>
      eventually(async () => (await sh("ps -o args")).stdout.split("\n").includes(command), { what: command });

    test("a shell: its size, a resize, Ctrl-C, an exit code", async () => {
      const terminal = open("sh");
      await terminal.see("#");
      terminal.write("stty size; tty\r");
      await terminal.see("30 90");
      await terminal.see(/\/dev\/(pts|console)/);
      terminal.resize(120, 40);
      // The new size and what is typed may overtake each other.
      terminal.write("until stty size | grep '40 120'; do sleep 0.1; done\r");
      await terminal.see("40 120\r");
      terminal.write("sleep 1001\r");
      await runs("sleep 1001");
      terminal.write("\u0003");
      terminal.write("echo still $((40 + 2))\r");
      await terminal.see("still 42");
      terminal.write("sleep 1002\r");
      await runs("sleep 1002");
      terminal.write("\u001a");
      terminal.write("jobs\r");
      await terminal.see(/Stopped|stopped/);
      terminal.write("kill -9 %1; fg; exit 9\r");
      expect(await terminal.ended).toBe(9);
    });

    test("what a program draws comes as it is, also line feeds without carriage returns", async () => {
      const terminal = open("sh", "-c", "stty -onlcr; printf 'one\\ntwo\\033[1m'");
      await terminal.see("one\ntwo\u001b[1m");
      expect(await terminal.ended).toBe(0);
    });

    test("a command that ends at once, many times", async () => {
      for (let round = 0; round < 4; round += 1) {
        const terminals = Array.from({ length: 4 }, () => open("sh", "-c", "printf onetwo; exit 3"));
        await Promise.all(terminals.map((terminal) => terminal.see("onetwo")));
        expect(await Promise.all(terminals.map(({ ended }) => ended))).toEqual([3, 3, 3, 3]);
      }
    });

    test("no such command", async () => {
      const terminal = open("no-such-command");
      await terminal.see("no-such-command");
      expect(await terminal.ended).not.toBe(0);
    });

    test("Ctrl-D ends it", async () => {
      const terminal = open("sh", "-c", "echo ready; cat; echo over");
      await terminal.see("ready");
      terminal.write("echoed\r");
      await terminal.see("echoed");
      await terminal.see("echoed");
      terminal.write("\u0004");
      await terminal.see("over");
      expect(await terminal.ended).toBe(0);
    });
  });
});
