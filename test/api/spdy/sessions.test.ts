import { once } from "node:events";
import { connect } from "node:net";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { WebSocket } from "ws";
import { dataFrame } from "../../../src/api/spdy/frames.ts";
import { GantryError } from "../../../src/system/errors.ts";
import { FakeSession, heldBack, type Served, serve, until } from "../fake-backend.ts";
import { type SpdyClient, upgrade } from "./client.ts";

let served: Served;
let session: FakeSession;
beforeEach(async () => {
  served = await serve();
  session = new FakeSession();
  served.backend.put("web");
  served.backend.session = async () => session;
});
afterEach(() => served.close());

const POD = "/api/v1/namespaces/default/pods/web";

describe("exec over SPDY", () => {
  const exec = async (query: string, ...types: string[]) => {
    const { client } = await upgrade(served.socketPath, `${POD}/exec?${query}`, "v4.channel.k8s.io");
    const ids: Record<string, number> = {};
    for (const type of types) ids[type] = await client.open({ streamtype: type });
    return { client, id: (type: string) => ids[type] ?? -1 };
  };

  test("a stream for each of its ends, and the Status at last", async () => {
    session.stdin.pipe(session.stdout);
    const { client, id } = await exec(
      "command=cat&stdin=true&stdout=true&stderr=true",
      ...["error", "stdin", "stdout", "stderr"],
    );
    client.send(id("stdin"), "typed");
    client.send(id("stdin"), " more", true);
    session.stderr.write("wrong");
    session.stdin.on("end", () => session.end(3));
    await until(() => client.ended, "the end");
    expect([client.data(id("stdout")), client.data(id("stderr"))]).toEqual(["typed more", "wrong"]);
    expect(JSON.parse(client.data(id("error")))).toMatchObject({
      reason: "NonZeroExitCode",
      details: { causes: [{ reason: "ExitCode", message: "3" }] },
    });
    for (const type of ["stdout", "stderr", "error"]) expect(client.finished(id(type))).toBe(true);
  });

  test("sizes of a terminal, whatever pieces they come in", async () => {
    const { client, id } = await exec("command=sh&stdin=1&stdout=1&tty=1", "error", "stdin", "stdout", "resize");
    client.send(id("resize"), '{"Width":80,"Hei');
    client.send(id("resize"), 'ght":24}\n{"Width":100,"Height":30}\n{"nonsense"}\n');
    await until(() => session.sizes.length === 2, "both");
    expect(session.sizes).toEqual(["80x24", "100x30"]);
    session.end(0);
    await until(() => client.ended, "the end");
    expect(JSON.parse(client.data(id("error")))).toMatchObject({ status: "Success" });
  });

  test("a command that can't start says so on the error stream", async () => {
    served.backend.session = () => Promise.reject(new GantryError("conflict", "it does not run"));
    const { client, id } = await exec("command=sh&stdout=1", "error", "stdout");
    await until(() => client.ended, "the end");
    expect(JSON.parse(client.data(id("error")))).toMatchObject({ status: "Failure", message: "it does not run" });
  });

  test("a client that leaves takes the command with it, also while its input is not read", async () => {
    const { client, id } = await exec("command=sh&stdin=1&stdout=1", "error", "stdin", "stdout");
    for (let round = 0; round < 64; round += 1) client.write(dataFrame(id("stdin"), Buffer.alloc(64 * 1024), false));
    await until(() => session.stdin.writableNeedDrain, "stdin to be full");
    client.destroy();
    await until(() => session.killed, "the command to be killed");
  });

  test("a client that does not read makes the command wait", async () => {
    const { client } = await exec("command=sh&stdout=1", "error", "stdout");
    client.pause();
    let written = 0;
    void (async () => {
      for (; written < 64 && !session.killed; written += 1) {
        if (!session.stdout.write(Buffer.alloc(1024 * 1024))) await once(session.stdout, "drain");
      }
    })().catch(() => {});
    expect(await heldBack(() => written)).toBeLessThan(32);
    client.destroy();
    await until(() => session.killed, "its end");
  });

  test("refused: a protocol, a container, a pod, a stream nobody asked for", async () => {
    const refused = (path: string, protocol = "v4.channel.k8s.io") => upgrade(served.socketPath, path, protocol);
    await expect(refused(`${POD}/exec?command=sh&stdout=1`, "v1.x")).rejects.toThrow(/400 .*v4.channel.k8s.io/);
    await expect(refused(`${POD}/exec?command=sh&stdout=1&container=x`)).rejects.toThrow(/404 .*not valid for pod web/);
    await expect(refused(`${POD.replace("web", "db")}/attach?stdout=1`)).rejects.toThrow(/404 .*not found/);
    const { client } = await exec("command=sh&stdout=1", "stdin");
    await until(() => client.frames.some(({ type }) => type === "rstStream"), "the refusal");
    client.destroy();
  });
});

describe("port forwarding", () => {
  const pairOf = async (client: SpdyClient, port: string, requestid: string) => {
    const error = await client.open({ streamtype: "error", port, requestid }, true);
    return { error, data: await client.open({ streamtype: "data", port, requestid }) };
  };
  const refusing = (port: number) => Promise.reject(new GantryError("network-failed", `nothing listens on ${port}`));

  const direct = async (): Promise<SpdyClient> =>
    (await upgrade(served.socketPath, `${POD}/portforward`, "portforward.k8s.io")).client;

  test("several connections, each with its own end and its own failure", async () => {
    served.backend.connection = async (port) => (port === 81 ? refusing(port) : new PassThrough());
    const client = await direct();
    const [one, two, bad] = [
      await pairOf(client, "80", "0"),
      await pairOf(client, "80", "1"),
      await pairOf(client, "81", "2"),
    ];
    client.send(two.data, "second", true);
    await until(() => client.finished(two.data) && client.finished(two.error), "the end of one");
    client.send(one.data, "first", true);
    await until(() => client.finished(one.data) && client.finished(bad.error), "the end of all");
    expect([one, two, bad].map(({ data }) => client.data(data))).toEqual(["first", "second", ""]);
    expect([one, two].map(({ error }) => client.data(error))).toEqual(["", ""]);
    expect(client.data(bad.error)).toBe("error forwarding port 81: nothing listens on 81\n");
    client.destroy();
  });

  test("a client that leaves closes the connections to its pod", async () => {
    const app = new PassThrough();
    served.backend.connection = async () => app;
    const client = await direct();
    const { data } = await pairOf(client, "80", "0");
    client.send(data, "x");
    await until(() => client.data(data) === "x", "the answer");
    client.destroy();
    await until(() => app.destroyed, "the end");
  });

  test("v4.channel.k8s.io: two channels a port, each with its number first", async () => {
    served.backend.connection = async (port) => (port === 81 ? refusing(port) : new PassThrough());
    const socket = new WebSocket(`ws://x${POD}/portforward?ports=8080&ports=81`, ["v4.channel.k8s.io"], {
      createConnection: () => connect(served.socketPath),
    });
    const messages: string[] = [];
    socket.on("message", (data: Buffer) => messages.push(data.toString("latin1")));
    await once(socket, "open");
    socket.send(Buffer.from("\0hello"));
    await until(() => messages.length === 6, "all");
    expect(messages.slice(0, 4)).toEqual(["\0\x90\x1f", "\x01\x90\x1f", "\x02\x51\0", "\x03\x51\0"]);
    expect(messages.slice(4).sort()).toEqual(["\0hello", "\x03error forwarding port 81: nothing listens on 81\n"]);
    socket.close();
    await once(socket, "close");
  });

  test.each([["?ports=0"], ["?ports=x"], [""]])("%j is refused", async (query) => {
    const socket = new WebSocket(`ws://x${POD}/portforward${query}`, ["v4.channel.k8s.io"], {
      createConnection: () => connect(served.socketPath),
    });
    socket.on("error", () => {});
    const [, response] = await once(socket, "unexpected-response");
    expect([response.statusCode, await text(response)]).toEqual([400, expect.stringContaining("port")]);
    socket.terminate();
  });
});
