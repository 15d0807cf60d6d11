import { createServer, type Server } from "node:http";
import { createServer as createSecureServer } from "node:https";
import { type AddressInfo, createServer as createTcpServer, type Server as TcpServer } from "node:net";
import { PassThrough } from "node:stream";
import { Server as GrpcServer, ServerCredentials, status } from "@grpc/grpc-js";
import { afterEach, describe, expect, onTestFinished, test } from "vitest";
import type { ExecIn, HttpGetAction, ProbeAction } from "../../src/probe/contract.ts";
import { requestMessage, servingStatus } from "../../src/probe/grpc.ts";
import { urlOf } from "../../src/probe/http.ts";
import { createProber } from "../../src/probe/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { GantryError } from "../../src/system/errors.ts";
import { SELF_SIGNED } from "./self-signed.ts";

/** The prober against real servers. Times are generous where an answer comes, short where none does. */
const prober = createProber(systemClock);
const { signal } = new AbortController();
const noExec: ExecIn = () => Promise.reject(new Error("no container here"));
const servers: (Server | TcpServer)[] = [];
afterEach(async () => {
  await Promise.all(
    servers.splice(0).map(async (server) => {
      if ("closeAllConnections" in server) server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }),
  );
});

async function listen(server: Server | TcpServer): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return (server.address() as AddressInfo).port;
}

type Handler = Parameters<typeof createServer>[1];
const serve = (handler: Handler): Promise<number> => listen(createServer(handler as never));
const get = (port: number, more: Partial<HttpGetAction> = {}): HttpGetAction => ({
  type: "httpGet",
  scheme: "HTTP",
  host: "127.0.0.1",
  port,
  path: "/",
  headers: [],
  ...more,
});
const probe = (action: ProbeAction, timeoutMs = 10_000, exec = noExec) => prober.probe(action, timeoutMs, exec, signal);

describe("httpGet", () => {
  test.each([
    [200, "success"],
    [204, "success"],
    [399, "warning"],
    [304, "warning"],
    [400, "failure"],
    [404, "failure"],
    [500, "failure"],
  ])("an answer of %i is a %s", async (code, result) => {
    const port = await serve((_, answer) => answer.writeHead(code).end());
    expect((await probe(get(port))).result).toBe(result);
  });

  test("what it sends: the path with its query, headers as given, who it is", async () => {
    const seen: unknown[] = [];
    const port = await serve(({ method, url, headers }, answer) => {
      seen.push({ method, url, headers });
      answer.end();
    });
    await probe(get(port));
    expect(seen[0]).toMatchObject({
      method: "GET",
      url: "/",
      headers: { "user-agent": "kube-probe/1.34", accept: "*/*", host: `127.0.0.1:${port}`, connection: "close" },
    });
    const headers = [
      { name: "Host", value: "app.local" },
      { name: "X-A", value: "1" },
      { name: "x-a", value: "2" },
      { name: "User-Agent", value: "me" },
      { name: "Accept", value: "" },
    ];
    await probe(get(port, { path: "healthz?full=1&é=%41#there", headers }));
    expect(seen[1]).toMatchObject({
      url: "/healthz?full=1&%C3%A9=%41",
      headers: { host: "app.local", "x-a": "1, 2", "user-agent": "me" },
    });
    expect(seen[1]).not.toHaveProperty("headers.accept");
  });

  test.each([
    ["a path that looks like a host", "//example.test/x", "http://10.0.0.1:80//example.test/x"],
    ["spaces and control characters", "/a b\n", "http://10.0.0.1:80/a%20b%0A"],
  ])("%s stays a path", (_, path, expected) => {
    expect(urlOf(get(80, { host: "10.0.0.1", path })).href).toBe(new URL(expected).href);
  });

  test("redirects on the same host are followed, with the same headers; elsewhere they are a pass with a warning", async () => {
    const other = await serve(({ headers }, answer) => answer.writeHead(headers["x-key"] === "k" ? 200 : 500).end());
    const port = await serve(({ url }, answer) => {
      const to: Record<string, string> = {
        "/here": "/fine",
        "/port": `http://127.0.0.1:${other}/`,
        "/away": "http://192.0.2.1/",
        "/loop": "/loop",
        "/bad": "/broken",
      };
      const location = to[url ?? ""];
      if (location !== undefined) answer.writeHead(302, { location }).end("moved");
      else answer.writeHead(url === "/fine" ? 200 : 503).end();
    });
    const headers = [{ name: "X-Key", value: "k" }];
    const results = await Promise.all(
      ["/here", "/port", "/away", "/loop", "/bad"].map(
        async (path) => (await probe(get(port, { path, headers }))).result,
      ),
    );
    expect(results).toEqual(["success", "success", "warning", "warning", "failure"]);
  });

  test("certificates are not verified", async () => {
    const port = await listen(createSecureServer(SELF_SIGNED, (_, answer) => answer.end("ok")));
    expect(await probe(get(port, { scheme: "HTTPS" }))).toMatchObject({ result: "success" });
    expect(await probe(get(port))).toMatchObject({ result: "failure" });
  });

  test("no more than 10 KiB are read", async () => {
    const port = await serve((_, answer) => {
      answer.writeHead(200);
      const more = (): void => {
        if (!answer.destroyed) answer.write(Buffer.alloc(64 * 1024, "x"), more);
      };
      more();
    });
    const { result, message } = await probe(get(port));
    expect(result).toBe("success");
    expect(message.length).toBe(10 * 1024);
  });

  test("no answer in time, none at all, and rubbish are failures", async () => {
    const silent = await serve(() => {});
    const slow = await serve((_, answer) => answer.writeHead(200).write("a"));
    const rubbish = await listen(createTcpServer((socket) => socket.resume().end("rubbish\r\n\r\n")));
    const closed = await listen(createTcpServer());
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(await probe(get(silent), 100)).toEqual({
      result: "failure",
      message: `Get "http://127.0.0.1:${silent}/": no answer within 0.1 s`,
    });
    expect(await probe(get(slow), 100)).toMatchObject({ result: "failure" });
    expect(await probe(get(rubbish))).toMatchObject({ result: "failure" });
    expect(await probe(get(closed))).toMatchObject({
      result: "failure",
      message: expect.stringContaining("ECONNREFUSED"),
    });
  });

  test("abort ends it", async () => {
    const port = await serve(() => abort.abort());
    const abort = new AbortController();
    await expect(prober.probe(get(port), 60_000, noExec, abort.signal)).rejects.toMatchObject({ code: "cancelled" });
  });
});

describe("tcpSocket", () => {
  test("passes when the port takes the connection", async () => {
    const port = await listen(createTcpServer((socket) => socket.resume()));
    expect(await probe({ type: "tcpSocket", host: "127.0.0.1", port })).toMatchObject({ result: "success" });
  });

  test("fails when it does not, or when there is no such host", async () => {
    const port = await listen(createTcpServer());
    await new Promise((resolve) => servers.pop()?.close(resolve));
    expect(await probe({ type: "tcpSocket", host: "127.0.0.1", port })).toMatchObject({ result: "failure" });
    expect(await probe({ type: "tcpSocket", host: "no.such.host.invalid", port })).toMatchObject({ result: "failure" });
  });
});

describe("grpc", () => {
  /** A server of the usual library, with answers by the name of the service. */
  async function health(answers: Readonly<Record<string, number | "error">>): Promise<number> {
    const server = new GrpcServer();
    const whole = (value: Buffer): Buffer => value;
    const path = "/grpc.health.v1.Health/Check";
    const check = {
      path,
      requestStream: false,
      responseStream: false,
      requestSerialize: whole,
      requestDeserialize: whole,
      responseSerialize: whole,
      responseDeserialize: whole,
    } as const;
    server.addService(
      { check },
      {
        check: (call: { request: Buffer }, callback: (error: object | null, value?: Buffer) => void) => {
          const name = call.request.length === 0 ? "" : call.request.subarray(2).toString();
          const answer = answers[name];
          if (answer === undefined) callback({ code: status.NOT_FOUND, details: "unknown service" });
          else if (answer === "error") callback({ code: status.INTERNAL, details: "broken" });
          else callback(null, answer === 0 ? Buffer.alloc(0) : Buffer.from([8, answer]));
        },
      },
    );
    onTestFinished(() => server.forceShutdown());
    return await new Promise((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
        error === null ? resolve(port) : reject(error),
      ),
    );
  }

  test.each([
    ["", { "": 1 }, "success", /healthy/],
    ["db", { db: 1 }, "success", /healthy/],
    ["db", { db: 2 }, "failure", /NOT_SERVING/],
    ["db", { db: 0 }, "failure", /UNKNOWN/],
    ["db", { "": 1 }, "failure", /unknown service \(code 5\)/],
    ["db", { db: "error" }, "failure", /broken \(code 13\)/],
  ] as const)("service %j of %j is a %s", async (service, answers, result, message) => {
    const outcome = await probe({ type: "grpc", host: "127.0.0.1", port: await health(answers), service });
    expect(outcome).toEqual({ result, message: expect.stringMatching(message) });
  });

  test("a server without the health service is told so", async () => {
    const server = new GrpcServer();
    onTestFinished(() => server.forceShutdown());
    const port = await new Promise<number>((resolve) =>
      server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (_, bound) => resolve(bound)),
    );
    const outcome = await probe({ type: "grpc", host: "127.0.0.1", port, service: "" });
    expect(outcome).toEqual({
      result: "failure",
      message: expect.stringMatching(/does not implement the grpc health/),
    });
  });

  test("servers that speak something else, or nothing, are failures", async () => {
    const http = await serve((_, answer) => answer.end());
    const silent = await listen(createTcpServer((socket) => socket.on("error", () => {}).resume()));
    expect(await probe({ type: "grpc", host: "127.0.0.1", port: http, service: "" })).toMatchObject({
      result: "failure",
    });
    expect(await probe({ type: "grpc", host: "127.0.0.1", port: silent, service: "" }, 100)).toMatchObject({
      result: "failure",
    });
  });

  test("long names of services, and answers that are none", () => {
    const message = requestMessage("s".repeat(300));
    expect(message.readUInt32BE(1)).toBe(303);
    expect([...message.subarray(5, 8)]).toEqual([0x0a, 0xac, 0x02]);
    for (const bytes of [
      [],
      [0, 0, 0, 0, 9, 8, 1],
      [1, 0, 0, 0, 2, 8, 1],
      [0, 0, 0, 0, 2, 16, 1],
      [0, 0, 0, 0, 2, 8, 9],
    ])
      expect(servingStatus(Buffer.from(bytes))).toBeUndefined();
  });
});

describe("exec", () => {
  const command: ProbeAction = { type: "exec", command: ["check"] };
  const ends = (code: number, out = "", err = ""): ExecIn => {
    return async () => {
      const [stdout, stderr] = [new PassThrough(), new PassThrough()];
      stdout.end(out);
      stderr.end(err);
      const read = Promise.all([stdout, stderr].map((stream) => new Promise((done) => stream.on("end", done))));
      return { stdout, stderr, resize() {}, kill() {}, exitCode: read.then(() => code) };
    };
  };

  test.each([
    [0, "success", "fine"],
    [1, "failure", "fine"],
    [127, "failure", "fine"],
  ])("exit code %i is a %s", async (code, result, message) => {
    expect(await probe(command, 10_000, ends(code, "fine\n"))).toEqual({ result, message });
  });

  test("no more than 10 KiB of its output are kept", async () => {
    const { message } = await probe(command, 10_000, ends(1, "x".repeat(200_000)));
    expect(message.length).toBe(10 * 1024);
  });

  test("what takes too long is killed, and a failure", async () => {
    let killed = false;
    const forever: ExecIn = async (_, own) => {
      own.addEventListener("abort", () => {
        killed = true;
      });
      const stdout = new PassThrough();
      return { stdout, resize() {}, kill() {}, exitCode: new Promise(() => {}) };
    };
    expect(await probe(command, 50, forever)).toMatchObject({ result: "failure" });
    expect(killed).toBe(true);
  });

  test("the prober's own error says nothing about the app; it is tried three times", async () => {
    let tries = 0;
    const broken: ExecIn = () => {
      tries++;
      return Promise.reject(new Error("no runtime"));
    };
    expect(await probe(command, 10_000, broken)).toEqual({ result: "unknown", message: "no runtime" });
    expect(tries).toBe(3);
  });
});

describe("hooks", () => {
  const hook = (action: Parameters<typeof prober.runHook>[0], exec = noExec) => prober.runHook(action, exec, signal);

  test("any answer of a server will do; no answer will not", async () => {
    const agents: unknown[] = [];
    const port = await serve(({ headers }, answer) => {
      agents.push(headers["user-agent"]);
      answer.writeHead(500).end();
    });
    await hook(get(port));
    expect(agents).toEqual(["kube-lifecycle/1.34"]);
    servers.pop()?.close();
    await expect(hook(get(1))).rejects.toMatchObject({ code: "runtime-failed" });
  });

  test("https to a server that speaks none is tried without, and without its secret", async () => {
    const seen: unknown[] = [];
    const port = await serve(({ headers }, answer) => {
      seen.push([headers["x"], headers["authorization"]]);
      answer.end();
    });
    const headers = [
      { name: "X", value: "1" },
      { name: "Authorization", value: "secret" },
    ];
    await hook(get(port, { scheme: "HTTPS", headers }));
    expect(seen).toEqual([["1", undefined]]);
  });

  test("a command must end with 0", async () => {
    const session =
      (code: number): ExecIn =>
      async () => {
        const stdout = new PassThrough();
        stdout.end("said");
        return { stdout, resize() {}, kill() {}, exitCode: Promise.resolve(code) };
      };
    await hook({ type: "exec", command: ["x"] }, session(0));
    await expect(hook({ type: "exec", command: ["x"] }, session(2))).rejects.toThrow(/exit code 2/);
  });

  test("what a command has said is told also when it had ended before anybody read", async () => {
    const gone: ExecIn = async () => {
      const stderr = new PassThrough();
      stderr.end("no such command\n");
      const stdout = new PassThrough();
      stdout.end();
      return { stdout, stderr, resize() {}, kill() {}, exitCode: Promise.resolve(127) };
    };
    await expect(hook({ type: "exec", command: ["x"] }, gone)).rejects.toThrow(/exit code 127.*no such command/);
  });

  test("sleep sleeps, and can be called off", async () => {
    await hook({ type: "sleep", ms: 1 });
    const abort = new AbortController();
    const slept = prober.runHook({ type: "sleep", ms: 600_000 }, noExec, abort.signal);
    abort.abort();
    await expect(slept).rejects.toBeInstanceOf(GantryError);
  });
});
