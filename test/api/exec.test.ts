import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { buffer, text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import type { ExecSession } from "../../src/sandbox/driver.ts";
import { GantryError } from "../../src/system/errors.ts";
import { FakeSession, heldBack, type Served, serve, until } from "./fake-backend.ts";
import { raw } from "./raw.ts";

let served: Served;
let session: FakeSession;
beforeEach(async () => {
  served = await serve();
  session = new FakeSession();
  served.backend.put("web");
  served.backend.session = async () => session;
});
afterEach(() => served.close());

const exec = (options: { tty?: boolean; stdin?: boolean; signal?: AbortSignal } = {}): Promise<ExecSession> => {
  const { tty = false, stdin = false, signal } = options;
  const request = { command: ["sh", "-c", "a b&c=d é"], tty, stdin, container: "app" };
  return served.client.exec("default", "web", signal === undefined ? request : { ...request, signal });
};

describe("exec through our client", () => {
  test("hands over the command as it is, and brings back output and exit code", async () => {
    const running = await exec();
    session.stdout.write("out");
    session.stderr.write("err");
    session.end(3);
    const [out, err, code] = await Promise.all([
      text(running.stdout),
      running.stderr && text(running.stderr),
      running.exitCode,
    ]);
    expect([out, err, code]).toEqual(["out", "err", 3]);
    expect(served.backend.calls).toEqual([
      'exec default/web app {"command":["sh","-c","a b&c=d é"],"tty":false,"stdin":false}',
    ]);
  });

  test("stdin and stdout are binary and whole, and stdin can be closed", async () => {
    const data = randomBytes(20 * 1024 * 1024);
    session.stdin.pipe(session.stdout);
    const running = await exec({ stdin: true });
    running.stdin?.end(data);
    session.stdin.on("end", () => session.end(0));
    const out = await buffer(running.stdout);
    expect(out.equals(data)).toBe(true);
    expect(await running.exitCode).toBe(0);
  });

  test("a client that does not read makes the command wait", async () => {
    const running = await exec();
    let written = 0;
    const chunk = Buffer.alloc(256 * 1024);
    const pump = (async () => {
      while (written < 64 * 1024 * 1024) {
        written += chunk.length;
        if (!session.stdout.write(chunk)) await once(session.stdout, "drain");
      }
      session.end(0);
    })();
    expect(await heldBack(() => written)).toBeLessThan(32 * 1024 * 1024);
    expect((await buffer(running.stdout)).length).toBe(64 * 1024 * 1024);
    await pump;
    expect(await running.exitCode).toBe(0);
  });

  test("attach joins the app in the same way", async () => {
    const running = await served.client.attach("default", "web", { container: "app", stdin: true, tty: true });
    session.stdin.pipe(session.stdout);
    running.stdin?.end("typed");
    session.stdin.on("end", () => session.end(3));
    expect(running.stderr).toBeUndefined();
    expect(await text(running.stdout)).toBe("typed");
    expect(await running.exitCode).toBe(3);
    expect(served.backend.calls).toEqual(['attach default/web app {"stdin":true}']);
  });

  test("a terminal has one stream, and a size", async () => {
    const running = await exec({ tty: true, stdin: true });
    expect(running.stderr).toBeUndefined();
    running.resize(120, 40);
    await until(() => session.sizes.length > 0, "the size");
    expect(session.sizes).toEqual(["120x40"]);
    session.end(0);
    running.stdout.resume();
    expect(await running.exitCode).toBe(0);
  });

  test("aborting, or a client that is gone, kills the command", async () => {
    const stop = new AbortController();
    const running = await exec({ signal: stop.signal });
    stop.abort();
    await expect(running.exitCode).rejects.toMatchObject({ code: "cancelled" });
    await until(() => session.killed, "the command to be killed");
  });

  test("a client that leaves while the command does not read its stdin is noticed too", async () => {
    const stop = new AbortController();
    const running = await exec({ stdin: true, signal: stop.signal });
    running.stdin?.write(Buffer.alloc(8 * 1024 * 1024));
    await until(() => session.stdin.writableNeedDrain, "stdin to be full");
    stop.abort();
    await until(() => session.killed, "the command to be killed");
  });

  test("a client that is gone before the command has started leaves nothing behind", async () => {
    let begin: (session: ExecSession) => void = () => {};
    let gone: AbortSignal | undefined;
    served.backend.session = (_request, signal) => {
      gone = signal;
      return new Promise((resolve) => {
        begin = resolve;
      });
    };
    const stop = new AbortController();
    const running = exec({ signal: stop.signal });
    await until(() => gone !== undefined, "the request");
    stop.abort();
    await expect(running).rejects.toMatchObject({ code: "cancelled" });
    await until(() => gone?.aborted === true, "the abort to arrive");
    begin(session);
    await until(() => session.killed, "the command to be killed");
  });

  test("errors keep their code: before, at and after the start", async () => {
    served.backend.session = () => Promise.reject(new GantryError("not-found", "no container x", { hint: "Look." }));
    await expect(exec()).rejects.toMatchObject({ code: "not-found", hint: "Look." });
    served.backend.session = () =>
      Promise.reject(new GantryError("runtime-failed", "no such command", { hint: "Install it." }));
    await expect(exec()).rejects.toMatchObject({ code: "runtime-failed", hint: "Install it." });
    served.backend.session = async () => session;
    const broken = await exec();
    broken.stdout.resume();
    broken.stderr?.resume();
    session.stdout.end();
    session.stderr.end();
    session.fail(new Error("conmon died"));
    await expect(broken.exitCode).rejects.toMatchObject({ code: "runtime-failed" });
  });

  test("closing the server ends it", async () => {
    const running = await exec();
    await served.close();
    await expect(running.exitCode).rejects.toMatchObject({ code: "daemon-unreachable" });
    expect(session.killed).toBe(true);
  });
});

describe("exec on the wire", () => {
  const path = "/api/v1/namespaces/default/pods/web/exec";
  const open = (query: string, protocols: string[]) =>
    new WebSocket(`ws://x${path}${query}`, protocols, { createConnection: () => connect(served.socketPath) });

  test.each([
    [["v4.channel.k8s.io", "v5.channel.k8s.io"], "v5.channel.k8s.io"],
    [["v4.channel.k8s.io", "channel.k8s.io"], "v4.channel.k8s.io"],
  ])("of %j it speaks %s, with the kubelet's messages", async (offered, spoken) => {
    const socket = open("?command=ls&stdout=true&stderr=true", offered);
    const messages: Buffer[] = [];
    socket.on("message", (data: Buffer) => messages.push(data));
    await once(socket, "open");
    expect(socket.protocol).toBe(spoken);
    await until(() => messages.length === 1, "the first message");
    expect(messages[0]).toEqual(Buffer.from([1]));
    session.stdout.write("o");
    await until(() => messages.length === 2, "output");
    session.stderr.write("e");
    await until(() => messages.length === 3, "errors");
    socket.send(Buffer.from("\x04not json"));
    socket.send(Buffer.from('\x04{"Width":1e9,"Height":1}'));
    socket.send(Buffer.from('\x04{"Width":80,"Height":24}'));
    socket.send(Buffer.from("\x09?"));
    socket.send(Buffer.alloc(0));
    await until(() => session.sizes.length === 1, "the size");
    session.end(2);
    const [code] = await once(socket, "close");
    expect(code).toBe(1000);
    expect(messages.slice(1, 3).map(String)).toEqual(["\x01o", "\x02e"]);
    expect(messages[3]?.[0]).toBe(3);
    expect(JSON.parse(String(messages[3]?.subarray(1)))).toMatchObject({
      metadata: {},
      status: "Failure",
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "2" }] },
    });
  });

  test.each([
    [`${path}?command=ls&stdout=true`, ["v1.foo"], 400],
    [`${path}?stdout=true`, ["v4.channel.k8s.io"], 400],
    [`${path}?command=ls`, ["v4.channel.k8s.io"], 400],
    [`${path}?command=ls&stdout=perhaps`, ["v4.channel.k8s.io"], 400],
    [`${path.replace(/exec$/, "portforward")}?ports=${Array(128).fill(80)}`, ["v4.channel.k8s.io"], 400],
    ["/api/v1/pods", ["v4.channel.k8s.io"], 404],
    ["/api/v1/namespaces/%zz/pods/x/exec?command=ls&stdout=1", ["v4.channel.k8s.io"], 400],
  ])("%s %j is refused with a Status", async (url, protocols, status) => {
    const socket = new WebSocket(`ws://x${url}`, protocols, { createConnection: () => connect(served.socketPath) });
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    expect(response.statusCode).toBe(status);
    expect(JSON.parse(await text(response))).toMatchObject({ kind: "Status", code: status });
    socket.terminate();
    expect(served.backend.calls).toEqual([]);
  });

  test("without an upgrade, or with SPDY, it says what is needed", async () => {
    expect((await raw(served.socketPath, `${path}?command=ls`)).asStatus()).toMatchObject({ code: 400 });
    const headers = { connection: "Upgrade", upgrade: "SPDY/3.1" };
    const spdy = await raw(served.socketPath, `${path}?command=ls`, { method: "POST", headers });
    expect(spdy.asStatus()).toMatchObject({ code: 400, message: expect.stringContaining("SPDY") });
  });
});
