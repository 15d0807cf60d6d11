import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough, Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { Attach, Cp, Exec, KubeConfig, Log, PortForward, type V1Status } from "@kubernetes/client-node";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { KUBECTL, kubectls, type LoopbackPort, loopbackPort } from "../support/kubectl.ts";
import { podOf } from "./harness/sketch.ts";
import { openOn, type Terminal } from "./harness/terminal.ts";
import { eventually, RUNTIME_CLASSES, type TestHost, testHost } from "./harness.ts";

/** Sessions in pods with Kubernetes' own clients: WebSocket from the new ones, SPDY from the old. */
const found = await kubectls();
if (found.length === 0) test.skip("there is no kubectl on this machine to be tested with", () => {});

const SERVES = "httpd -p 127.0.0.1:8080 -h /www; echo to out; echo to err >&2; trap exit TERM; sleep infinity & wait";

interface Ran {
  readonly code: number | null;
  readonly out: Buffer;
  readonly err: string;
}

describe.each(RUNTIME_CLASSES)("on %s", (runtimeClass) => {
  let host: TestHost;
  let port: LoopbackPort;
  let home: string;
  const config = new KubeConfig();
  beforeAll(async () => {
    host = testHost({ runtimeClass });
    home = await mkdtemp(join(tmpdir(), "kubectl-home-"));
    port = await loopbackPort(() => host.paths.socket);
    config.loadFromClusterAndUser({ name: "gantry", server: port.url, skipTLSVerify: true }, { name: "root" });
    await host.startDaemon();
    const annotations = { "kubectl.kubernetes.io/default-container": "app" };
    const pod = JSON.parse(
      podOf("box", [
        { name: "other" },
        { name: "app", command: ["sh", "-c", SERVES] },
        { name: "shell", command: ["sh"], stdin: true, tty: true },
      ]),
    );
    host.write("box.yaml", JSON.stringify({ ...pod, metadata: { ...pod.metadata, annotations } }));
    await host.waitReady("box");
  });
  afterAll(async () => {
    await port.close();
    await rm(home, { recursive: true });
    await host.dispose();
  });

  const env = () => ({ HOME: home, PATH: "/usr/bin:/bin", TMPDIR: home });
  const start = (kubectl: string, args: readonly string[]): ChildProcess =>
    spawn(kubectl, ["--server", port.url, ...args], { env: env() });
  const run = (kubectl: string, args: readonly string[], input?: string | Buffer): Promise<Ran> =>
    new Promise((resolve) => {
      const child = start(kubectl, args);
      const chunks: Buffer[] = [];
      let err = "";
      child.stdout?.on("data", (chunk: Buffer) => chunks.push(chunk));
      child.stderr?.on("data", (chunk: Buffer) => {
        err += chunk;
      });
      child.stdin?.on("error", () => {});
      child.stdin?.end(input);
      child.on("close", (code) => resolve({ code, out: Buffer.concat(chunks), err }));
    });
  const inBox = async (script: string): Promise<string> =>
    (await host.gantry("exec", "box", "-c", "app", "--", "sh", "-c", script)).stdout;

  describe.each(found)("$title", ({ path: kubectl }) => {
    const terminal = (...args: readonly string[]): Terminal => openOn(kubectl, ["--server", port.url, ...args], env());

    test("exec: both streams, exit codes, input, and what can't be", async () => {
      const ran = await run(kubectl, ["exec", "box", "-c", "app", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
      expect([ran.code, String(ran.out)]).toEqual([7, "out\n"]);
      expect(ran.err).toMatch(/^err\n/);
      const data = randomBytes(1_000_000);
      const copied = await run(kubectl, ["exec", "-i", "box", "-c", "app", "--", "cat"], data);
      expect([copied.code, copied.out.equals(data)]).toEqual([0, true]);
      const wrong = await run(kubectl, ["exec", "box", "-c", "nope", "--", "true"]);
      expect([wrong.code, wrong.err]).toEqual([1, expect.stringContaining("nope")]);
      const nobody = await run(kubectl, ["exec", "nobody", "--", "true"]);
      expect([nobody.code, nobody.err]).toEqual([1, expect.stringContaining("NotFound")]);
    });

    test("exec -it: a terminal, its size, a resize, an exit code", async () => {
      const shell = terminal("exec", "-it", "box", "-c", "app", "--", "sh");
      await shell.see("#");
      shell.write("until stty size | grep '30 90'; do sleep 0.1; done\r");
      await shell.see("30 90\r");
      shell.resize(120, 40);
      shell.write("until stty size | grep '40 120'; do sleep 0.1; done\r");
      await shell.see("40 120\r");
      shell.write("exit 9\r");
      expect(await shell.ended).toBe(9);
    });

    test("when kubectl goes, what it started goes", async () => {
      const running = async (): Promise<boolean> => (await inBox("ps -o args")).includes("sleep 4712");
      const child = start(kubectl, ["exec", "box", "-c", "app", "--", "sleep", "4712"]);
      await eventually(running, { what: "the sleep" });
      child.kill("SIGKILL");
      await eventually(async () => !(await running()), { what: "the end of the sleep" });
    });

    test("attach, to an app on a terminal", async () => {
      const shell = terminal("attach", "-it", "box", "-c", "shell");
      await shell.see(/pressing enter|#/);
      shell.write("echo $((40 + 2))\r");
      await shell.see(/\b42\b/);
      shell.write("echo $((40 + 3))\r");
      await shell.see(/\b43\b/);
      shell.kill();
      await shell.ended;
    });

    test("cp, both ways", async () => {
      const [there, back] = [join(home, "there"), join(home, "back")];
      const data = randomBytes(300_000);
      await writeFile(there, data);
      const to = await run(kubectl, ["cp", there, "default/box:/tmp/copied", "-c", "app"]);
      expect(to.code, to.err).toBe(0);
      const from = await run(kubectl, ["cp", "default/box:/tmp/copied", back, "-c", "app"]);
      expect(from.code, from.err).toBe(0);
      expect((await readFile(back)).equals(data)).toBe(true);
    });

    test("port-forward: to a port that is only on the pod's loopback, several connections, and to none", async () => {
      const child = start(kubectl, ["port-forward", "--address", "127.0.0.1", "pod/box", ":8080"]);
      const ended = new Promise((resolve) => child.on("close", resolve));
      let said = "";
      for (const output of [child.stdout, child.stderr]) {
        output?.on("data", (chunk: Buffer) => {
          said += chunk;
        });
      }
      await eventually(() => /127.0.0.1:\d+/.test(said), { what: "the port", explain: () => said });
      const url = `http://${/127.0.0.1:\d+/.exec(said)?.[0]}/index.html`;
      const page = await inBox("cat /www/index.html");
      const answers = await Promise.all([1, 2, 3].map(async () => (await fetch(url)).text()));
      expect(answers).toEqual([page, page, page]);
      child.kill();
      await ended;
      const bad = start(kubectl, ["port-forward", "--address", "127.0.0.1", "pod/box", ":81"]);
      const over = new Promise((resolve) => bad.on("close", resolve));
      let why = "";
      for (const output of [bad.stdout, bad.stderr]) {
        output?.on("data", (chunk: Buffer) => {
          why += chunk;
        });
      }
      await eventually(() => /127.0.0.1:\d+/.test(why), { what: "the port", explain: () => why });
      await expect(fetch(`http://${/127.0.0.1:\d+/.exec(why)?.[0]}/`)).rejects.toThrow();
      await eventually(() => why.includes("nothing listens on TCP port 81"), { what: "why", explain: () => why });
      bad.kill();
      await over;
    });

    test("logs: of one container, of all, their end, followed", async () => {
      const logs = async (...args: string[]) => String((await run(kubectl, ["logs", "box", ...args])).out);
      expect((await logs("-c", "app")).split("\n").sort()).toEqual(["", "to err", "to out"]);
      // The prompt of the shell, before it, ends with no line feed.
      expect(await logs("--all-containers", "--prefix")).toContain("[pod/box/app] to out\n");
      expect((await logs("-c", "app", "--tail=1")).split("\n")).toHaveLength(2);
      expect(await logs("-c", "app", "--limit-bytes=2")).toBe("to");
      expect(await logs("-c", "app", "--timestamps", "--since=1h")).toMatch(/^\d{4}-\S+ to /);
      const child = start(kubectl, ["logs", "-f", "box", "-c", "app"]);
      let seen = "";
      child.stdout?.on("data", (chunk: Buffer) => {
        seen += chunk;
      });
      await eventually(() => seen.includes("to err"), { what: "the log" });
      child.kill();
    });
  });

  test("kubectl debug is refused in words", async () => {
    const refused = await run(found[0]?.path ?? KUBECTL, ["debug", "box", "--image=localhost/gantry/sample:1"]);
    expect([refused.code, refused.err]).toEqual([1, expect.stringMatching(/ephemeral containers are not supported/)]);
  });

  test("@kubernetes/client-node: exec, attach, cp, port forwarding, log", async () => {
    const out = new PassThrough();
    const output = text(out);
    const status = await new Promise<V1Status>((resolve, reject) => {
      const input = Readable.from(["from client-node"], { objectMode: false });
      const command = ["sh", "-c", "cat; exit 4"];
      new Exec(config).exec("default", "box", "app", command, out, null, input, false, resolve).catch(reject);
    });
    expect(status.details?.causes).toMatchObject([{ reason: "ExitCode", message: "4" }]);
    expect(await output).toBe("from client-node");

    const [shellOut, shellIn] = [new PassThrough(), new PassThrough()];
    let seen = "";
    shellOut.on("data", (chunk: Buffer) => {
      seen += chunk;
    });
    const attached = await new Attach(config).attach("default", "box", "shell", shellOut, null, shellIn, true);
    shellIn.write("echo $((50 + 4))\n");
    await eventually(() => /\b54\b/.test(seen), { what: "the answer of the shell", explain: () => seen });
    attached.close();

    const directory = await mkdtemp(join(home, "cp-"));
    await writeFile(join(directory, "file"), "copied by client-node");
    await new Cp(config).cpToPod("default", "box", "app", directory, "/tmp");
    await eventually(async () => (await inBox("cat /tmp/file")) === "copied by client-node", { what: "the copy" });

    const [page, request, errors] = [new PassThrough(), new PassThrough(), new PassThrough()];
    let answer = "";
    page.on("data", (chunk: Buffer) => {
      answer += chunk;
    });
    await new PortForward(config).portForward("default", "box", [8080], page, errors, request);
    request.write("GET /index.html HTTP/1.0\r\n\r\n");
    await eventually(() => /^HTTP\/1\.\d 200/.test(answer), { what: "the page", explain: () => answer });

    const log = new PassThrough();
    await new Log(config).log("default", "box", "app", log, { tailLines: 2 });
    expect((await text(log)).split("\n").sort()).toEqual(["", "to err", "to out"]);
  });
});
