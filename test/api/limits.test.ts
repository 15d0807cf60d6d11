import { connect as connectTcp } from "node:net";
import { describe, expect, test } from "vitest";
import { Admission, LIMITS } from "../../src/api/access/admission.ts";
import type { Secret } from "../../src/api/access/credentials.ts";
import { until } from "./fake-backend.ts";
import { rest, SecureServed } from "./secure.ts";

const bearer = (secret: Secret): string => `authorization: Bearer ${secret.kind === "token" ? secret.token : ""}`;
const get = (path: string, secret: Secret): string => `GET ${path} HTTP/1.1\r\nhost: x\r\n${bearer(secret)}\r\n\r\n`;

/** 60 KB of labels. */
const BIG_LABELS = Array.from({ length: 700 }, (_, at) => [`key-${at}`, "x".repeat(60)]);

async function open(options: Parameters<typeof SecureServed.open>[0] = {}) {
  const served = await SecureServed.open(options);
  served.backend.put("web");
  return { served, token: await served.credential({ kind: "token" }) };
}

describe("too much", () => {
  test("a body over 3 MiB, told or not: 413, and the next request is answered", async () => {
    const { served, token } = await open();
    await using _ = served;
    const body = Buffer.alloc(3 * 1024 * 1024 + 1, "a");
    const headers = { "content-type": "application/yaml" };
    const path = "/apis/gantry.dev/v1/apply";
    const told = await served.ask(path, token, { method: "POST", headers, body });
    expect(told.asStatus()).toMatchObject({ code: 413, reason: "RequestEntityTooLarge" });
    const socket = await served.connect();
    const said = rest(socket);
    socket.write(`POST ${path} HTTP/1.1\r\nhost: x\r\n${bearer(token)}\r\ntransfer-encoding: chunked\r\n\r\n`);
    socket.write(`${body.length.toString(16)}\r\n`);
    socket.write(body);
    socket.write("\r\n0\r\n\r\n");
    socket.write(get("/healthz", token).replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"));
    expect(await said).toMatch(/^HTTP\/1.1 413[\s\S]+HTTP\/1.1 200[\s\S]+ok$/);
    expect(served.backend.calls).toEqual([]);
  });

  test("another content type: 415; headers of 100 KB: 431", async () => {
    const { served, token } = await open();
    await using _ = served;
    const path = "/apis/gantry.dev/v1/apply";
    const options = { method: "POST", headers: { "content-type": "image/png" }, body: "x" };
    const wrong = await served.ask(path, token, options);
    expect(wrong.asStatus()).toMatchObject({ code: 415, reason: "UnsupportedMediaType" });
    const socket = await served.connect();
    const said = rest(socket);
    socket.write(`GET / HTTP/1.1\r\nx: ${"y".repeat(100_000)}\r\n\r\n`);
    expect(await said).toMatch(/^HTTP\/1.1 431 [\s\S]+"kind":"Status"/);
  });

  test("more requests than are answered at a time: 429 with Retry-After, and others are let in", async () => {
    const { served, token } = await open({ limits: { ...LIMITS, inFlightPerClient: 1, inFlight: 2 } });
    await using _ = served;
    let answer: () => void = () => {};
    const held = new Promise<void>((resolve) => {
      answer = resolve;
    });
    const { backend } = served;
    const volumes = backend.volumes.bind(backend);
    let waiting = 0;
    backend.volumes = async () => {
      waiting += 1;
      await held;
      return volumes();
    };
    const first = served.ask("/apis/gantry.dev/v1/volumes", token);
    await until(() => waiting === 1, "the first request");
    const second = await served.ask("/api/v1/pods", token);
    expect(second.asStatus()).toMatchObject({ code: 429, reason: "TooManyRequests" });
    expect(second.headers["retry-after"]).toBe("1");
    const other = await served.credential({ kind: "token", name: "other" });
    expect((await served.ask("/api/v1/pods", other)).status).toBe(200);
    // Watches are counted apart.
    expect((await served.ask("/api/v1/pods?watch=true&timeoutSeconds=0", token)).status).toBe(200);
    answer();
    expect((await first).status).toBe(200);
    expect((await served.ask("/api/v1/pods", token)).status).toBe(200);
  });

  test("more watches than one client may have: 429", async () => {
    const { served, token } = await open({ limits: { ...LIMITS, streamsPerClient: 2 } });
    await using _ = served;
    const sockets = [await served.connect(), await served.connect()];
    for (const socket of sockets) {
      const begun = new Promise((resolve) => socket.once("data", resolve));
      socket.write(get("/api/v1/pods?watch=true", token));
      await begun;
    }
    expect((await served.ask("/api/v1/pods?watch=true", token)).status).toBe(429);
    for (const socket of sockets) socket.destroy();
    await until(
      async () => (await served.ask("/api/v1/pods?watch=true&timeoutSeconds=0", token)).status === 200,
      "their places to be free again",
    );
  });

  test("more requests a second than one client may send: 429; pure", () => {
    const admission = new Admission({ ...LIMITS, ratePerSecond: 10, burst: 2 });
    admission.admit("a", "short", 0)();
    admission.admit("a", "short", 0)();
    expect(() => admission.admit("a", "short", 0)).toThrow(/more than 10 requests a second/);
    admission.admit("b", "short", 0)();
    admission.admit("a", "short", 100)();
    expect(() => admission.admit("a", "short", 100)).toThrow(/too many/);
    expect(admission.open).toEqual({ short: 0, stream: 0 });
  });

  test("guesses are slowed down, by address, and those who are known are not", async () => {
    const { served, token } = await open();
    await using _ = served;
    const codes: number[] = [];
    const socket = await served.connect();
    const said = rest(socket);
    for (let count = 0; count < 150; count += 1)
      socket.write("GET /api HTTP/1.1\r\nhost: x\r\nauthorization: Bearer no\r\n\r\n");
    socket.write("GET /api HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for (const [, code] of (await said).matchAll(/HTTP\/1.1 (\d+)/g)) codes.push(Number(code));
    expect(codes[0]).toBe(401);
    expect(codes).toContain(429);
    expect((await served.ask("/api/v1/pods", token)).status).toBe(200);
  });

  test("more connections than there may be: 429", async () => {
    const { served, token } = await open({ maxConnections: 2 });
    await using _ = served;
    const idle = [await served.connect(), await served.connect()];
    expect((await served.ask("/api/v1/pods", token)).asStatus()).toMatchObject({ code: 429 });
    for (const socket of idle) socket.destroy();
    await until(async () => (await served.ask("/api/v1/pods", token)).status === 200, "room for another");
  });

  test("what is no TLS is hung up on, and nothing else happens", async () => {
    const { served, token } = await open();
    await using _ = served;
    await new Promise<void>((resolve) => {
      const socket = connectTcp(served.port, "127.0.0.1", () => socket.write("GET / HTTP/1.1\r\n\r\n"));
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
    expect((await served.ask("/api/v1/pods", token)).status).toBe(200);
  });
});

test("a client that never reads its watch is cut off, and holds no memory meanwhile", async () => {
  const { served, token } = await open({ watchCapacity: 20 });
  await using _ = served;
  const socket = await served.connect();
  let closed = false;
  socket.on("error", () => {});
  socket.on("close", () => {
    closed = true;
  });
  socket.pause();
  socket.write(get("/api/v1/pods?watch=true", token));
  // 40 MB: more than the kernel keeps for a connection.
  for (let count = 0; count < 600; count += 1) {
    served.backend.put(`web-${"x".repeat(100)}`, Object.fromEntries(BIG_LABELS));
    await new Promise((resolve) => setImmediate(resolve));
  }
  // It learns of the end only when it reads: then what was under way comes, and the connection is closed.
  socket.resume();
  await until(() => closed, "the connection to be closed", 30_000);
});
