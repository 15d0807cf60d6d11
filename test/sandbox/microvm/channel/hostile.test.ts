import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, onTestFinished, test } from "vitest";
import { openSession } from "../../../../src/sandbox/microvm/attach.ts";
import { Guest } from "../../../../src/sandbox/microvm/channel/guest.ts";
import { AgentLink, type SessionListener } from "../../../../src/sandbox/microvm/channel/link.ts";
import { Session } from "../../../../src/sandbox/microvm/exec.ts";
import { encodeFrame, FrameReader } from "../../../../src/sandbox/microvm/protocol/frames.ts";
import { parseStats, parseUsage } from "../../../../src/sandbox/microvm/protocol/index.ts";
import { FLAG_MORE, MAX_PAYLOAD, REQUEST, RESPONSE } from "../../../../src/sandbox/microvm/protocol/messages.ts";

const SIGNAL = new AbortController().signal;
const TYPES: ReadonlyMap<number, string> = new Map(Object.entries(REQUEST).map(([name, number]) => [number, name]));
const fields = (...pairs: string[]): Buffer => Buffer.from(pairs.map((pair) => `${pair}\0`).join(""));
const PROCESS = {
  ...{ argv: ["yes"], env: [], cwd: "/", uid: 0, gid: 0, groups: [], capabilities: 0n, noNewPrivileges: true },
};
const exited = (name: string): Buffer =>
  fields(`container=${name}`, "state=exited", "created-ns=1", "finished-ns=2", "exit-code=0", "oom=0", "log-port=0");

interface Hostile {
  readonly path: string;
  /** Everything that a peer does is written with this. */
  readonly socket: () => Socket;
  connections(): number;
}

/**
 * An agent that says hello and lists nothing, as it should, and does what `behave` says after each other request. It
 * writes no faster than it is read.
 */
async function agent(
  behave: (socket: Socket, request: { readonly name: string; readonly id: number }) => void,
  answers: { readonly hello?: (nonce: string) => Buffer; readonly list?: Buffer } = {},
): Promise<Hostile> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-hostile-"));
  const path = join(directory, "agent.sock");
  let socket: Socket | undefined;
  let connections = 0;
  const server = createServer((peer) => {
    socket = peer;
    connections++;
    const frames = new FrameReader();
    peer.on("error", () => {});
    peer.on("data", (chunk: Buffer) => {
      for (const { type, id, payload } of frames.push(chunk)) {
        const name = TYPES.get(type) ?? "";
        const nonce = payload.toString("latin1", "nonce=".length, payload.length - 1);
        if (name === "hello") {
          const hello = answers.hello?.(nonce) ?? fields(`nonce=${nonce}`, "version=1", "kernel=6.1", "configured=1");
          peer.write(encodeFrame(RESPONSE.ok, id, hello));
        } else if (name === "list") peer.write(encodeFrame(RESPONSE.ok, id, answers.list ?? Buffer.alloc(0)));
        else behave(peer, { name, id });
      }
    });
  });
  server.listen(path);
  await once(server, "listening");
  onTestFinished(async () => {
    socket?.destroy();
    server.close();
    await rm(directory, { recursive: true, force: true });
  });
  return {
    path,
    connections: () => connections,
    socket: () => {
      if (!socket) throw new Error("nobody is connected");
      return socket;
    },
  };
}

/** Writes the same again and again, as fast as it is taken, until the other end has had enough. */
async function flood(socket: Socket, bytes: Buffer, most = 100_000_000): Promise<number> {
  let sent = 0;
  const closed = new Promise((resolve) => socket.once("close", resolve));
  while (!socket.destroyed && sent < most) {
    sent += bytes.length;
    if (!socket.write(bytes)) await Promise.race([once(socket, "drain").catch(() => {}), closed]);
  }
  return sent;
}

const link = async ({ path }: Hostile) =>
  (await AgentLink.open(path, { retryMs: 10_000, fill: false, onEvent: () => {} }, SIGNAL)).link;

async function guestOf({ path }: Hostile) {
  const seen: string[] = [];
  const hostile = Promise.withResolvers<string>();
  const guest = new Guest({
    socket: path,
    onChange: () => {},
    onExit: ({ container }) => seen.push(container),
    onSilence: () => {},
    onDead: () => {},
    onHostile: hostile.resolve,
    onLost: () => {},
  });
  onTestFinished(() => guest.close());
  return { guest, seen, hostile: hostile.promise };
}

/** Resident bytes that `work` leaves behind, as nearly as can be told. */
setFlagsFromString("--expose-gc");
const collectGarbage: () => void = runInNewContext("gc");

async function growth(work: () => Promise<unknown>): Promise<number> {
  const before = process.memoryUsage();
  await work();
  collectGarbage();
  const after = process.memoryUsage();
  return after.heapUsed + after.external - before.heapUsed - before.external;
}

const BAD: readonly (readonly [string, Buffer])[] = [
  ["garbage", Buffer.alloc(100_000, "garbage ")],
  ["zeroes", Buffer.alloc(100_000)],
  ["a frame that says it is huge", Buffer.from("474e5459ffffffff4000000001000000", "hex")],
  ["a frame that is a byte too large", Buffer.from("474e5459010001004000000001000000", "hex")],
  ["a wrong checksum", Buffer.concat([encodeFrame(RESPONSE.ok, 7, fields("a=b")).subarray(0, -1), Buffer.from("x")])],
  ["an unknown type", encodeFrame(99, 7, fields("a=b"))],
  ["a request, as if we were the agent", encodeFrame(REQUEST.create, 7, fields("container=x"))],
  ["an event with an id", encodeFrame(RESPONSE.eventExit, 7, exited("a"))],
  ["an answer without one", encodeFrame(RESPONSE.ok, 0, Buffer.alloc(0))],
  ["a field without a key", encodeFrame(RESPONSE.ok, 7, fields("=x"))],
  ["a field without an end", encodeFrame(RESPONSE.ok, 7, Buffer.from("a=b"))],
  ["an exit code out of range", encodeFrame(RESPONSE.execExit, 7, fields("exit-code=256"))],
  ["a negative exit code", encodeFrame(RESPONSE.execExit, 7, fields("exit-code=-1"))],
  ["an exit code that is no number", encodeFrame(RESPONSE.execExit, 7, fields("exit-code=0x10"))],
  ["credit beyond all bounds", encodeFrame(RESPONSE.execStdinCredit, 7, fields("bytes=9007199254740993"))],
  ["two values where there is one", encodeFrame(RESPONSE.execExit, 7, fields("exit-code=1", "exit-code=2"))],
  ...["../../../etc/x", "..", ".", "/etc/passwd", "a/b", "A", "", "a\u00e9", "x".repeat(64), "-a", "a\n"].map(
    (name) =>
      [
        `a container called ${JSON.stringify(name).slice(0, 20)}`,
        encodeFrame(RESPONSE.eventExit, 0, exited(name)),
      ] as const,
  ),
  [
    "a time beyond all bounds",
    encodeFrame(
      RESPONSE.eventExit,
      0,
      fields("container=a", "state=exited", `created-ns=${"9".repeat(30)}`, "oom=0", "log-port=0"),
    ),
  ],
  [
    "a port beyond all bounds",
    encodeFrame(RESPONSE.eventExit, 0, fields("container=a", "state=exited", "created-ns=1", "oom=0", "log-port=64")),
  ],
  [
    "a state that there is not",
    encodeFrame(RESPONSE.eventExit, 0, fields("container=a", "state=root", "created-ns=1", "oom=0", "log-port=1")),
  ],
  [
    "a message that another interrupts",
    Buffer.concat([encodeFrame(RESPONSE.ok, 7, fields("a=b"), FLAG_MORE), encodeFrame(RESPONSE.ok, 8, fields("a=b"))]),
  ],
  [
    "parts without content",
    Buffer.concat(Array.from({ length: 3 }, () => encodeFrame(RESPONSE.ok, 7, Buffer.alloc(0), FLAG_MORE))),
  ],
  [
    "a message without end",
    Buffer.concat(
      Array.from({ length: 20 }, () => encodeFrame(RESPONSE.ok, 7, Buffer.alloc(MAX_PAYLOAD, "a=b\0"), FLAG_MORE)),
    ),
  ],
];

test.each(BAD)("%s ends the link, once, and the VM is given up", async (_what, bytes) => {
  const peer = await agent((socket) => socket.write(bytes));
  const { guest, seen, hostile } = await guestOf(peer);
  const asked = guest.request({ type: "ping", body: null }, SIGNAL);
  await expect(asked).rejects.toMatchObject({ code: "runtime-failed" });
  expect(await hostile).toMatch(/the agent sent|not a frame/);
  expect(seen).toEqual([]);
  expect(peer.connections()).toBe(1);
});

test("an answer with the wrong nonce is none, whatever else it says", async () => {
  const peer = await agent(() => {}, { hello: () => fields("nonce=1234", "version=1", "kernel=x", "configured=1") });
  const limit = AbortSignal.timeout(300);
  const open = AgentLink.open(peer.path, { retryMs: 50, fill: false, onEvent: () => {} }, limit);
  await expect(open).rejects.toMatchObject({ code: "cancelled" });
});

test.each([
  ["another version", "version=2"],
  ["a kernel without end", `kernel=${"x".repeat(66)}`],
  ["a kernel that paints on terminals", "kernel=\u001b[2J"],
])("a hello with %s is refused", async (_what, field) => {
  const all = new Map(["version=1", "kernel=6.1", "configured=1", field].map((pair) => [pair.split("=")[0], pair]));
  const peer = await agent(() => {}, { hello: (nonce) => fields(`nonce=${nonce}`, ...all.values()) });
  await expect(link(peer)).rejects.toMatchObject({ code: "runtime-failed" });
});

test("a list that makes no sense gives the VM up", async () => {
  const peer = await agent(() => {}, { list: fields("container=../x", "state=running") });
  const { guest, hostile } = await guestOf(peer);
  await expect(guest.link(SIGNAL)).rejects.toMatchObject({ code: "runtime-failed" });
  expect(await hostile).toContain("container");
});

test("answers that nobody waits for, and answers given twice, do nothing", async () => {
  const peer = await agent((socket, { id }) => {
    for (const each of [id + 1000, id, id, 0x7fffffff])
      socket.write(encodeFrame(RESPONSE.ok, each, fields(`n=${each}`)));
    socket.write(encodeFrame(RESPONSE.error, id, fields("errno=1", "code=failed", "message=late")));
  });
  const open = await link(peer);
  const answers = await Promise.all([1, 2, 3].map(() => open.request({ type: "ping", body: null })));
  expect(new Set(answers.map((answer) => JSON.stringify(answer))).size).toBe(3);
  open.close();
});

test.each<[string, Buffer]>([
  ["events", encodeFrame(RESPONSE.eventOom, 0, fields("container=a"))],
  ["ends of ever the same container", encodeFrame(RESPONSE.eventExit, 0, exited("a"))],
  ["answers", encodeFrame(RESPONSE.ok, 99, fields(`x=${"y".repeat(60_000)}`))],
  ["output of no command", encodeFrame(RESPONSE.execOutput, 99, Buffer.alloc(MAX_PAYLOAD))],
  ["empty output of no command", encodeFrame(RESPONSE.execOutput, 99, Buffer.alloc(0))],
])("a flood of %s ends soon and leaves nothing", async (_what, bytes) => {
  const peer = await agent(() => {});
  const { guest, hostile } = await guestOf(peer);
  await guest.link(SIGNAL);
  let sent = 0;
  const grown = await growth(async () => {
    sent = await flood(peer.socket(), bytes);
    expect(await hostile).toContain("flood");
  });
  expect(sent).toBeLessThan(100_000_000);
  expect(grown).toBeLessThan(50_000_000);
});

test("containers that are ever new are not remembered without end", async () => {
  const peer = await agent(() => {});
  const { guest, hostile } = await guestOf(peer);
  await guest.link(SIGNAL);
  const names = Array.from({ length: 3000 }, (_, n) => encodeFrame(RESPONSE.eventExit, 0, exited(`c${n}`)));
  peer.socket().write(Buffer.concat(names));
  expect(await hostile).toMatch(/flood|more containers/);
});

test("stats are numbers of known size or nothing", () => {
  const stats = (pair: string): [string, string][] =>
    Object.entries({
      container: "a",
      "cpu-ns": "1",
      "memory-bytes": "1",
      processes: "1",
      ...Object.fromEntries([pair.split("=")]),
    });
  expect(parseStats(stats("cpu-ns=5"))).toMatchObject([{ "cpu-ns": 5, periods: 0 }]);
  expect(parseStats(stats("rss-bytes=7"))).toMatchObject([{ "rss-bytes": 7 }]);
  for (const bad of [
    "cpu-ns=NaN",
    "memory-bytes=1e9",
    "processes=-1",
    `cpu-ns=${"9".repeat(17)}`,
    "container=../a",
    "cpu-ns=",
    "usage-bytes=-1",
    "throttled-ns=1.5",
  ]) {
    expect(() => parseStats(stats(bad)), bad).toThrow();
  }
  const many = Array.from({ length: 2000 }, (_, n) => stats(`container=c${n}`)).flat();
  expect(() => parseStats(many)).toThrow("never ends");
});

test("what is on disk is a number by a name, or nothing", () => {
  const fields: [string, string][] = [
    ["volume", "v.1"],
    ["bytes", "7"],
    ["container", "c"],
    ["bytes", "0"],
    ["inodes", "3"],
  ];
  expect(parseUsage(fields, "bytes")).toEqual({ volumes: new Map([["v.1", 7]]), containers: new Map([["c", 0]]) });
  expect(parseUsage(fields, "inodes")).toEqual({ volumes: new Map([["v.1", 0]]), containers: new Map([["c", 3]]) });
  const bad: [string, string][][] = [
    [["bytes", "7"]],
    [
      ["volume", "../v"],
      ["bytes", "7"],
    ],
    [
      ["volume", "v"],
      ["bytes", "-7"],
    ],
    [["volume", "v"]],
    [
      ["volume", "v"],
      ["bytes", "7"],
      ["bytes", "8"],
    ],
  ];
  for (const fields of bad) expect(() => parseUsage(fields, "bytes"), JSON.stringify(fields)).toThrow();
});

test("a peer that reads nothing is given up before it fills our memory", async () => {
  const peer = await agent(() => {});
  const open = await link(peer);
  peer.socket().pause();
  const session: SessionListener = { output() {}, stdinCredit() {}, exit() {}, lost() {} };
  open.begin({ type: "execSignal", body: { signal: 9 } }, 50, session).catch(() => {});
  for (let n = 0; n < 3000 && open.alive; n++) open.data("execStdin", 50, Buffer.alloc(MAX_PAYLOAD));
  expect((await open.lost).message).toContain("does not read");
});

test("a command whose output has no end, against what it was allowed, ends with its link", async () => {
  const peer = await agent((socket, { name, id }) => {
    if (name !== "exec") return;
    socket.write(encodeFrame(RESPONSE.ok, id, Buffer.alloc(0)));
    void flood(socket, encodeFrame(RESPONSE.execOutput, id, Buffer.alloc(MAX_PAYLOAD, "x")));
  });
  const open = await link(peer);
  const grown = await growth(async () => {
    const session = new Session(open, { command: ["yes"], tty: false, stdin: true });
    session.stdout.on("error", () => {}); // nobody reads it
    await session.start({ container: "a", process: PROCESS, tty: false, stdin: true, credit: 1 });
    await expect(session.exitCode).rejects.toThrow("more output");
  });
  expect(grown).toBeLessThan(50_000_000);
});

test.each([
  ["output", (id: number) => encodeFrame(RESPONSE.execOutput, id, Buffer.from("x")), "output where there can be none"],
  ["a flood of credit", (id: number) => encodeFrame(RESPONSE.execStdinCredit, id, fields("bytes=65536")), undefined],
] as const)("%s for a client of an app harms nobody", async (_what, frame, why) => {
  const peer = await agent((socket, { name, id }) => {
    if (name === "attach") socket.write(encodeFrame(RESPONSE.ok, id, Buffer.alloc(0)));
    if (name === "execStdin") for (let n = 0; n < 1000; n++) socket.write(frame(id));
    if (name === "ping") socket.write(encodeFrame(RESPONSE.ok, id, Buffer.alloc(0)));
  });
  const open = await link(peer);
  const { stdin } = await openSession(open, "a", "app", true);
  stdin?.write("typed");
  if (why !== undefined) expect((await open.lost).message).toContain(why);
  else await open.request({ type: "ping", body: null });
  stdin?.end(Buffer.alloc(10_000_000)); // more than it has room for: what is not asked for is not sent
  await open.request({ type: "ping", body: null }).catch(() => {});
  open.close();
  expect(stdin?.destroyed).toBe(true);
});
