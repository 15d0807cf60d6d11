import { rmSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { encodeFrame } from "../../../../src/sandbox/microvm/protocol/frames.ts";
import { type CreateRequest, resyncFill } from "../../../../src/sandbox/microvm/protocol/index.ts";
import { MAX_PAYLOAD, REQUEST } from "../../../../src/sandbox/microvm/protocol/messages.ts";
import { Client } from "./client.ts";
import { containerRequest } from "./container-request.ts";
import { buildSanitized, SanitizedAgent } from "./sanitized.ts";

const built = { directory: "", path: "" };
beforeAll(() => Object.assign(built, buildSanitized()));
afterAll(() => rmSync(built.directory, { recursive: true, force: true }));

/** Keys that the agent knows, so that random messages reach the code behind them. */
const KEYS =
  "nonce wall-clock-ns entropy hostname mac mtu address route sysctl scratch-disk name type size-bytes mode uid gid disk fs tag ro volume atomic path container image argv env cwd group caps no-new-privs ro-rootfs privileged pidns log-port termination-path seccomp rlimit oom-score-adj cgroup mount mount.volume mount.root mount.path mount.create mount.ro masked readonly tmpfs signal columns rows credit bytes tty stdin stdin-once".split(
    " ",
  );
const NASTY = [
  ..."0 1 -1 99999999999999999999 c1 c2 v1 files tmpfs own pod / /fail .. ../x a/b/c a//b ..data unlimited nofile:1:2 ff zz default 0".split(
    " ",
  ),
  "10.0.0.1/24",
  "fd00::1/64",
  "default 10.0.0.2",
  "02:00:00:00:00:01",
  "net.ipv4.ip_forward=1",
  "",
  "x".repeat(5000),
  "00".repeat(64),
];
const field = fc
  .tuple(fc.constantFrom(...KEYS), fc.oneof(fc.constantFrom(...NASTY), fc.string({ maxLength: 80 })))
  .map(([key, value]) => `${key}=${value}\0`);
const fields = fc.array(field, { maxLength: 12 }).map((parts) => Buffer.from(parts.join("")));
/** What gets past the first checks, so that the deeper code sees its share. */
const likely = fc
  .constantFrom<[number, string]>(
    [REQUEST.configure, `entropy=${"ab".repeat(32)}\0scratch-disk=8\0`],
    [
      REQUEST.configure,
      "mac=02:00:00:00:00:01\0mtu=1400\0address=10.0.0.1/24\0address=fd00::1/64\0route=default 10.0.0.2\0",
    ],
    [REQUEST.create, "container=c1\0image=0\0log-port=0\0argv=x\0cwd=/\0uid=3\0gid=40\0"],
    [REQUEST.create, "container=c2\0image=1\0log-port=1\0argv=x\0cwd=/\0gid=4000\0pidns=pod\0"],
    [REQUEST.create, "container=c3\0argv=wait\0rlimit=nofile:1:unlimited\0seccomp=0600000000000000\0group=7\0"],
    [
      REQUEST.create,
      "container=c4\0argv=x\0cwd=/fail\0mount=/x\0mount.volume=v1\0mount.root=r\0mount.path=a\0mount.ro=1\0masked=/x\0",
    ],
    [REQUEST.start, "container=c1\0"],
    [REQUEST.start, "container=c2\0"],
    [REQUEST.start, "container=c3\0"],
    [REQUEST.remove, "container=c1\0"],
    [REQUEST.remove, "container=c3\0"],
    [REQUEST.signal, "container=c3\0signal=9\0"],
    [REQUEST.log, "container=c1\0log-port=1\0"],
    [REQUEST.exec, "container=c3\0argv=x\0credit=100\0gid=100\0"],
    [REQUEST.exec, "container=c3\0argv=wait\0credit=100000\0stdin=1\0gid=100\0"],
    [REQUEST.exec, "container=c3\0argv=x\0cwd=/fail\0"],
    [REQUEST.create, "container=c5\0image=2\0argv=copy\0stdin=1\0"],
    [REQUEST.create, "container=c6\0image=2\0argv=copy\0stdin=1\0stdin-once=1\0"],
    [REQUEST.create, "container=c7\0image=2\0argv=wait\0stdin=1\0stdin-once=1\0tty=1\0"],
    [REQUEST.start, "container=c5\0"],
    [REQUEST.start, "container=c6\0"],
    [REQUEST.start, "container=c7\0"],
    [REQUEST.dial, "port=80\0credit=1000\0"],
    [REQUEST.dial, "port=0\0credit=1\0"],
    [REQUEST.attach, "container=c5\0stdin=1\0"],
    [REQUEST.attach, "container=c6\0stdin=1\0"],
    [REQUEST.attach, "container=c7\0stdin=1\0"],
    [REQUEST.attach, "container=c7\0"],
    [REQUEST.remove, "container=c5\0"],
    [REQUEST.remove, "container=c6\0"],
    [REQUEST.remove, "container=c7\0"],
    [REQUEST.execStdin, "some input"],
    [REQUEST.execSignal, "signal=9\0"],
    [REQUEST.execCredit, "bytes=5000\0"],
    [REQUEST.execResize, "columns=80\0rows=25\0"],
    [REQUEST.volume, "name=v1\0type=files\0mode=755\0"],
    [REQUEST.pushBegin, "volume=v1\0atomic=1\0"],
    [REQUEST.pushBegin, "volume=v1\0atomic=0\0"],
    [REQUEST.pushFile, "path=a/b\0mode=644\0"],
    [REQUEST.pushFile, "path=c\0"],
    [REQUEST.pushData, "content"],
    [REQUEST.pushCommit, ""],
  )
  .map(([type, text]) => ({ type, payload: Buffer.from(text) }));
const wild = fc.record({
  type: fc.oneof(
    { weight: 20, arbitrary: fc.constantFrom(...Object.values(REQUEST)) },
    { weight: 1, arbitrary: fc.nat(0xffff) },
  ),
  payload: fc.oneof(
    fields,
    fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  ),
});
const frame = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: likely }, { weight: 2, arbitrary: wild }),
    fc.nat(3),
    fc.oneof({ weight: 9, arbitrary: fc.constant(0) }, { weight: 1, arbitrary: fc.nat(7) }),
  )
  .map(([{ type, payload }, id, flags]) => encodeFrame(type, id, payload, flags));
const garbage = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
/** Frames with single bytes changed: in the header, the payload or the checksum. */
const damaged = fc.tuple(frame, fc.nat(), fc.nat(255)).map(([bytes, at, value]) => {
  const copy = Buffer.from(bytes);
  copy[at % copy.length] = value;
  return copy;
});
const stream = fc.array(
  fc.oneof({ weight: 12, arbitrary: frame }, { weight: 1, arbitrary: garbage }, { weight: 1, arbitrary: damaged }),
  { minLength: 1, maxLength: 60 },
);

/** A container as the stand-ins of stubs.c understand it: uid is its exit code, gid how many lines it writes. */
function container(name: string, argv: string, changes: Partial<CreateRequest> = {}): CreateRequest {
  const rights = { groups: [], capabilities: 0n, noNewPrivileges: true };
  return containerRequest(name, { argv: [argv], env: [], cwd: "/", uid: 9, gid: 100, ...rights }, changes);
}

describe("the agent under the sanitizers", () => {
  test("survives whatever comes, and still answers", async () => {
    const agent = new SanitizedAgent(built.path);
    const client = new Client(agent.channel);
    const sent = new Set<number>();
    await client.hello();
    try {
      await fc.assert(
        fc.asyncProperty(stream, async (chunks) => {
          for (const chunk of chunks) if (chunk.length >= 10) sent.add(chunk.readUInt16LE(8));
          for (const chunk of chunks) client.raw(chunk);
          client.raw(resyncFill());
          const again = new Client(agent.channel);
          await again.hello();
          await again.list();
          again.detach();
        }),
        { numRuns: 600 },
      );
    } catch (error) {
      throw new Error(`${String(error)}\n${agent.said}`);
    } finally {
      await agent.stop();
    }
    expect(agent.said).toBe("");
    for (const [name, type] of Object.entries(REQUEST)) expect(sent, name).toContain(type);
  });

  test("answers a hello that came in the middle of a half frame", async () => {
    const agent = new SanitizedAgent(built.path);
    try {
      agent.channel.write(encodeFrame(REQUEST.pushData, 9, Buffer.alloc(MAX_PAYLOAD)).subarray(0, 5000));
      const client = new Client(agent.channel);
      const hello = client.hello();
      client.raw(resyncFill());
      const second = client.hello();
      await second;
      void hello.catch(() => undefined);
      expect(await client.list()).toEqual([]);
      client.close();
    } finally {
      await agent.stop();
    }
    expect(agent.said).toBe("");
  });

  test("runs, tells the end, keeps it until it is removed", async () => {
    const agent = new SanitizedAgent(built.path);
    const client = new Client(agent.channel);
    try {
      await client.hello();
      const create = container("c1", "x");
      await expect(client.request("create", create)).rejects.toMatchObject({ code: "not-configured" });
      await client.request("configure", { entropy: Buffer.alloc(32, 1), scratchDisk: 8 });
      await client.request("create", create);
      await expect(client.request("create", create)).rejects.toMatchObject({ code: "exists" });
      await client.request("start", { container: "c1" });
      const exited = await client.exited("c1");
      expect(exited).toMatchObject({ state: "exited", "exit-code": 9 });
      expect(await client.list()).toEqual([exited]);
      expect(agent.log.split("\n").filter((line) => / std(out|err) F a line of output$/.test(line))).toHaveLength(100);
      await client.request("remove", { container: "c1" });
      expect(await client.list()).toEqual([]);
    } finally {
      client.close();
      await agent.stop();
    }
    expect(agent.said).toBe("");
  });

  test("passes on what clients of an app type, and ends its input once", async () => {
    const agent = new SanitizedAgent(built.path);
    const client = new Client(agent.channel);
    const attach = async (name: string, stdin: boolean): Promise<number> => {
      const id = client.newId();
      await client.request("attach", { container: name, stdin }, id);
      return id;
    };
    try {
      await client.hello();
      await client.request("configure", { entropy: Buffer.alloc(32, 1), scratchDisk: 8 });
      for (const [name, stdin] of [
        ["once", "once"],
        ["kept", "kept"],
      ] as const) {
        await client.request("create", container(name, "copy", { stdin }));
        await expect(attach(name, true)).rejects.toMatchObject({ code: "state" });
        await client.request("start", { container: name });
      }
      await expect(attach("nobody", true)).rejects.toMatchObject({ code: "unknown" });
      const [first, second] = [await attach("once", true), await attach("once", true)];
      client.data("execStdin", first, "of the first\n");
      client.data("execStdin", second, "of the second\n", true);
      expect(await client.exited("once")).toMatchObject({ "exit-code": 9 });
      expect((await client.ended(first)).exitCode).toBe(0);
      for (const who of ["first", "second"])
        await expect.poll(() => agent.log).toMatch(new RegExp(` F of the ${who}$`, "m"));

      const listener = await attach("kept", false);
      client.tell("execResize", { columns: 80, rows: 25 }, listener);
      client.tell("execSignal", { signal: 1 }, listener);
      await client.ended(listener);
      const writer = await attach("kept", true);
      client.data("execStdin", writer, "still here\n", true);
      client.tell("execSignal", { signal: 1 }, writer);
      await client.ended(writer);
      const most = await Promise.all(Array.from({ length: 16 }, () => attach("kept", true)));
      await expect(attach("kept", true)).rejects.toMatchObject({ code: "limit" });
      for (const id of most) client.tell("execSignal", { signal: 1 }, id);
      await Promise.all(most.map((id) => client.ended(id)));
      expect((await client.list()).find((each) => each.container === "kept")).toMatchObject({ state: "running" });
      await expect.poll(() => agent.log).toMatch(/ F still here$/m);
    } finally {
      client.close();
      await agent.stop();
    }
    expect(agent.said).toBe("");
  });
});
