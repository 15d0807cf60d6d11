import { duplexPair } from "node:stream";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SpdyConnection, type SpdyStream } from "../../../src/api/spdy/connection.ts";
import { DICTIONARY_ADLER32, dictionary } from "../../../src/api/spdy/dictionary.ts";
import { controlFrame, dataFrame, type Frame, FrameReader, TYPE } from "../../../src/api/spdy/frames.ts";
import { EmptyHeaders, HeaderReader } from "../../../src/api/spdy/headers.ts";
import { until } from "../fake-backend.ts";
import { HeaderWriter, PlainInflater, SpdyClient } from "./client.ts";

describe("frames", () => {
  test("are the same whatever pieces they come in", () => {
    const bytes = Buffer.concat([
      dataFrame(5, Buffer.from("hello"), false),
      dataFrame(7, new Uint8Array(), true),
      controlFrame(TYPE.ping, [9]),
      controlFrame(TYPE.rstStream, [5, 3]),
      controlFrame(TYPE.settings, [0]),
      controlFrame(TYPE.goAway, [0, 0]),
    ]);
    const read = (pieces: readonly Buffer[]): Frame[] => {
      const reader = new FrameReader();
      return pieces.flatMap((piece) => [...reader.push(piece)]);
    };
    const whole = read([bytes]);
    expect(whole).toMatchObject([
      { type: "data", stream: 5, fin: false, payload: Buffer.from("hello") },
      { type: "data", stream: 7, fin: true },
      { type: "ping", id: 9 },
      { type: "rstStream", stream: 5, status: 3 },
      { type: "other" },
      { type: "goAway" },
    ]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: bytes.length })), (cuts) => {
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length];
        const pieces = at.slice(1).map((end, index) => bytes.subarray(at[index], end));
        expect(read(pieces)).toEqual(whole);
      }),
    );
  });

  test("any bytes are read or refused, never a crash", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 400 }), (bytes) => {
        try {
          for (const frame of new FrameReader().push(Buffer.from(bytes))) expect(frame.type).toBeTypeOf("string");
        } catch (error) {
          expect(String(error)).toMatch(/too large|version|too short/);
        }
      }),
    );
  });

  test("the dictionary is that of the specification", () => {
    let [a, b] = [1, 0];
    for (const byte of dictionary()) {
      a = (a + byte) % 65_521;
      b = (b + a) % 65_521;
    }
    expect(b * 65_536 + a).toBe(DICTIONARY_ADLER32);
  });
});

describe("headers", () => {
  test("block after block of one compressed stream", async () => {
    const [writer, reader] = [new HeaderWriter(), new HeaderReader()];
    for (const headers of [{ streamtype: "error", port: "80" }, {}, { streamtype: "data", requestid: "7" }]) {
      expect(Object.fromEntries(await reader.read(await writer.write(headers)))).toEqual(headers);
    }
    reader.close();
  });

  test("what is made by hand, zlib reads", async () => {
    const [made, zlib] = [new EmptyHeaders(), new PlainInflater()];
    for (let round = 0; round < 3; round += 1) expect(await zlib.read(made.next())).toEqual(Buffer.alloc(4));
  });

  test("garbage, and what unpacks to too much, is refused", async () => {
    await expect(new HeaderReader().read(Buffer.from("nonsense"))).rejects.toThrow(/can't be read/);
    const large = await new HeaderWriter().write({ x: "y".repeat(1_000_000) });
    await expect(new HeaderReader().read(large)).rejects.toThrow(/too large/);
  });
});

describe("a connection", () => {
  const pair = (accept: (stream: SpdyStream) => boolean = () => true) => {
    const streams: SpdyStream[] = [];
    const [near, far] = duplexPair();
    const connection = new SpdyConnection(far, (stream) => {
      streams.push(stream);
      return accept(stream);
    });
    return { streams, connection, client: new SpdyClient(near), far };
  };

  test("carries streams with both ends closed one by one", async () => {
    const { streams, connection, client } = pair();
    const id = await client.open({ streamtype: "data" });
    await until(() => streams.length === 1, "the stream");
    expect(client.frames).toMatchObject([{ type: "synReply", stream: id }]);
    streams[0]?.end("x".repeat(200_000));
    client.send(id, "to the server", true);
    expect(await text(streams[0] as SpdyStream)).toBe("to the server");
    await until(() => client.finished(id), "the end");
    expect(client.data(id)).toBe("x".repeat(200_000));
    client.write(controlFrame(TYPE.ping, [1]));
    await until(() => client.frames.some(({ type }) => type === "ping"), "the answer to a ping");
    expect(client.frames.some(({ type }) => type === "rstStream")).toBe(false);
    client.destroy();
    expect(await connection.closed).toBeUndefined();
  });

  test("refuses and resets, each for itself", async () => {
    const { streams, client } = pair(({ headers }) => headers.get("streamtype") === "good");
    const bad = await client.open({ streamtype: "bad" });
    const good = await client.open({ streamtype: "good" });
    await until(() => streams.length === 2, "both");
    expect(client.frames).toMatchObject([
      { type: "rstStream", stream: bad, status: 3 },
      { type: "synReply", stream: good },
    ]);
    client.write(controlFrame(TYPE.rstStream, [good, 5]));
    await until(() => streams[1]?.destroyed === true, "the reset");
    client.destroy();
  });

  test("what nobody reads is held back, and it asks whether the client is still there", async () => {
    const { streams, connection, client, far } = pair();
    const id = await client.open({});
    for (let round = 0; round < 128; round += 1) client.write(dataFrame(id, Buffer.alloc(32 * 1024), false));
    await until(() => (streams[0]?.readableLength ?? 0) >= 256 * 1024, "the stream to be full");
    client.write(controlFrame(TYPE.ping, [1]));
    await until(() => client.frames.some((frame) => frame.type === "ping" && frame.id === 2), "a question back");
    expect(streams[0]?.readableLength).toBeLessThan(512 * 1024);
    far.destroy(); // as a socket does when a ping finds nobody
    expect(await connection.closed).toBeUndefined();
    expect(streams[0]?.destroyed).toBe(true);
  });

  test("ends when it gets what is no SPDY", async () => {
    const { connection, client } = pair();
    client.write(Buffer.from("GET / HTTP/1.1\r\n\r\n"));
    expect(await connection.closed).toMatch(/too large|version/);
    await until(() => client.ended, "the end");
  });
});
