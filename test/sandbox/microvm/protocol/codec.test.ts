import { readFileSync } from "node:fs";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { AGENT_SOURCE } from "../../../../src/sandbox/microvm/boot/agent.ts";
import { decodeFields, encodeFields } from "../../../../src/sandbox/microvm/protocol/codec.ts";
import { encodeFrame, type Frame, FrameReader } from "../../../../src/sandbox/microvm/protocol/frames.ts";
import {
  AgentDecoder,
  type AgentMessage,
  encodeRequest,
  parseList,
} from "../../../../src/sandbox/microvm/protocol/index.ts";
import {
  FLAG_MORE,
  MAX_MESSAGE,
  MAX_PAYLOAD,
  REQUEST,
  RESPONSE,
} from "../../../../src/sandbox/microvm/protocol/messages.ts";

const NONCE = "abc";
const helloReply = encodeFrame(RESPONSE.ok, 1, encodeFields([["nonce", NONCE]]));

/** A decoder that has seen the answer to its HELLO. */
function greeted(): AgentDecoder {
  const decoder = new AgentDecoder(NONCE);
  expect([...decoder.push(helloReply)]).toHaveLength(1);
  return decoder;
}

/** All at once, or in pieces of these sizes. */
function* pieces(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  let at = 0;
  for (let turn = 0; at < bytes.length; turn++) {
    const size = sizes[turn % sizes.length] ?? bytes.length;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

const sizes = fc.array(fc.integer({ min: 1, max: 70_000 }), { minLength: 1, maxLength: 10 });
const frames = fc.array(
  fc.record({
    type: fc.nat(0xffff),
    flags: fc.nat(0xffff),
    id: fc.nat(0xffffffff),
    payload: fc.uint8Array({ maxLength: 3000 }).map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 20 },
);

describe("frames", () => {
  test("come out as they went in, however the stream is cut", () => {
    fc.assert(
      fc.property(frames, sizes, (sent, cuts) => {
        const reader = new FrameReader();
        reader.accept();
        const bytes = Buffer.concat(sent.map(({ type, flags, id, payload }) => encodeFrame(type, id, payload, flags)));
        const got: Frame[] = [];
        for (const piece of pieces(bytes, cuts)) got.push(...reader.push(piece));
        expect(got).toEqual(sent);
      }),
    );
  });

  test("are found behind the end of a half frame", () => {
    fc.assert(
      fc.property(frames, fc.uint8Array({ maxLength: 3000 }), fc.nat(), sizes, (sent, payload, cut, cuts) => {
        const half = encodeFrame(7, 7, payload);
        const bytes = Buffer.concat([
          half.subarray(1 + (cut % (half.length - 1))),
          ...sent.map(({ type, flags, id, payload }) => encodeFrame(type, id, payload, flags)),
        ]);
        const reader = new FrameReader();
        const got: Frame[] = [];
        for (const piece of pieces(bytes, cuts)) got.push(...reader.push(piece));
        expect(got).toEqual(sent);
      }),
    );
  });
});

describe("fields", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 50 }).filter((value) => !value.includes("\0"));
  const key = text.filter((value) => value !== "" && !value.includes("="));
  test("come out as they went in", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(key, text)), (fields) => {
        expect(decodeFields(encodeFields(fields))).toEqual(fields);
      }),
    );
  });

  test("a NUL byte is refused", () => {
    expect(() => encodeFields([["env", "A=\0"]])).toThrow(/NUL/);
  });
});

describe("requests", () => {
  test("larger than a frame are cut into parts", () => {
    const nonce = "x".repeat(3 * MAX_PAYLOAD);
    const reader = new FrameReader();
    const got = [...reader.push(encodeRequest({ type: "hello", body: { nonce } }, 9))];
    expect(got.map((frame) => frame.flags)).toEqual([FLAG_MORE, FLAG_MORE, FLAG_MORE, 0]);
    expect(got.every((frame) => frame.id === 9 && frame.type === REQUEST.hello)).toBe(true);
    expect(decodeFields(Buffer.concat(got.map((frame) => frame.payload)))).toEqual([["nonce", nonce]]);
  });

  test("larger than the agent takes are refused", () => {
    expect(() => encodeRequest({ type: "hello", body: { nonce: "x".repeat(MAX_MESSAGE) } }, 9)).toThrow(/too large/);
  });
});

describe("a hostile agent", () => {
  test("neither crashes the decoder nor makes it hold much", () => {
    const frame = frames.map((all) =>
      Buffer.concat(all.map((f) => encodeFrame(f.type % 80, f.id % 5, f.payload, f.flags % 8))),
    );
    const garbage = fc.uint8Array({ maxLength: 2000 }).map((bytes) => Buffer.from(bytes));
    fc.assert(
      fc.property(fc.boolean(), fc.array(fc.oneof(frame, garbage), { maxLength: 10 }), sizes, (early, chunks, cuts) => {
        const decoder = early ? new AgentDecoder(NONCE) : greeted();
        const messages: AgentMessage[] = [];
        try {
          for (const piece of pieces(Buffer.concat(chunks), cuts)) messages.push(...decoder.push(piece));
        } catch (error) {
          expect(error).toMatchObject({ name: "GantryError", code: "runtime-failed" });
        }
        if (early) expect(messages).toEqual([]);
      }),
      { numRuns: 500 },
    );
  });

  const refused: readonly (readonly [string, Buffer])[] = [
    ["an unknown type", encodeFrame(99, 1, Buffer.alloc(0))],
    ["an event with an id", encodeFrame(RESPONSE.eventOom, 1, encodeFields([["container", "a"]]))],
    ["an answer without one", encodeFrame(RESPONSE.ok, 0, Buffer.alloc(0))],
    ["a name that is a path", encodeFrame(RESPONSE.eventOom, 0, encodeFields([["container", "../../etc"]]))],
    ["two values for one key", encodeFrame(RESPONSE.execExit, 3, Buffer.from("exit-code=1\0exit-code=2\0"))],
    ["an exit code that is none", encodeFrame(RESPONSE.execExit, 3, Buffer.from("exit-code=1e9\0"))],
    ["an empty part", encodeFrame(RESPONSE.ok, 3, Buffer.alloc(0), FLAG_MORE)],
    ["a field without end", encodeFrame(RESPONSE.ok, 3, Buffer.from("a=b"))],
    ["what is no frame", Buffer.alloc(32, 1)],
  ];
  test.each(refused)("%s ends the channel", (_, bytes) => {
    const decoder = greeted();
    expect(() => [...decoder.push(bytes)]).toThrow(expect.objectContaining({ code: "runtime-failed" }));
  });

  test("a message without end is cut off", () => {
    const decoder = greeted();
    const part = encodeFrame(RESPONSE.ok, 3, Buffer.alloc(MAX_PAYLOAD, 65), FLAG_MORE);
    expect(() => {
      for (let n = 0; n < 20; n++) for (const message of decoder.push(part)) expect(message).toBeUndefined();
    }).toThrow(/too large/);
  });
});

test("a list is cut into containers", () => {
  const one = [
    ["container", "a-1"],
    ["state", "exited"],
    ["created-ns", "1700000000123456789"],
    ["finished-ns", "1700000001123456789"],
    ["exit-code", "137"],
    ["oom", "1"],
    ["log-port", "2"],
  ] as const;
  const two = [
    ["container", "b"],
    ["state", "running"],
    ["created-ns", "5000000"],
    ["oom", "0"],
    ["log-port", "0"],
    ["pid", "12"],
  ] as const;
  expect(parseList([...one, ...two])).toEqual([
    {
      ...{ container: "a-1", state: "exited", "created-ns": 1_700_000_000_123, "finished-ns": 1_700_000_001_123 },
      ...{ "exit-code": 137, oom: true, "log-port": 2 },
    },
    { container: "b", state: "running", "created-ns": 5, oom: false, "log-port": 0, pid: 12 },
  ]);
});

test("the C header numbers the messages as this side does", () => {
  const header = readFileSync(join(AGENT_SOURCE, "protocol.h"), "utf8");
  const names = (/enum frame_type \{([^}]*)\}/.exec(header)?.[1] ?? "")
    .split(",")
    .map((name) => name.trim())
    .filter(Boolean);
  const numbers = new Map<string, number>();
  let next = 0;
  for (const entry of names) {
    const [name = "", value] = entry.split("=").map((part) => part.trim());
    next = value === undefined ? next : Number(value);
    numbers.set(name.replaceAll("_", "").toLowerCase(), next++);
  }
  const ours = Object.entries({ ...REQUEST, ...RESPONSE }).map(([name, value]) => [name.toLowerCase(), value] as const);
  expect(new Map(ours)).toEqual(numbers);
});
