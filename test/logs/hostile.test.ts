import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { readLog } from "../../src/logs/index.ts";

/** A log file that a guest has written what it wanted to. */
async function logOf(content: Buffer | string): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-log-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  const path = join(directory, "0.log");
  await writeFile(path, content);
  return path;
}

/** Bytes that were read, and the most that came at once. */
async function drain(options: Parameters<typeof readLog>[0]): Promise<{ bytes: number; most: number; last: Buffer }> {
  const result: { bytes: number; most: number; last: Buffer } = { bytes: 0, most: 0, last: Buffer.alloc(0) };
  for await (const chunk of readLog(options)) {
    result.bytes += chunk.length;
    result.most = Math.max(result.most, chunk.length);
    result.last = chunk;
  }
  return result;
}

const LINE = "2026-01-01T00:00:00.000000000Z stdout F honest\n";
const PIECE = "2026-01-01T00:00:00.000000000Z stdout P ";

test.each<[string, Buffer | string]>([
  ["NULs", Buffer.alloc(300_000)],
  ["NULs in lines", `\0\0\n\0${LINE}`],
  ["no time", "stdout F text\n F \n  \n"],
  ["times that there are not", "2026-99-99T99:99:99Z stdout F x\n9999-12-31T23:59:59Z stdout F x\n"],
  ["streams and tags that there are not", `${PIECE.replace("stdout", "stdall")}x\n${PIECE.replace("P", "Q")}x\n`],
  ["half a line", LINE.slice(0, 20)],
  ["bytes that are no text", Buffer.from(Array.from({ length: 100_000 }, (_, n) => (n * 7919) % 256))],
])("a log of %s is read to its end, and from its end", async (_what, content) => {
  for (const options of [{}, { tail: 3 }, { timestamps: true }, { sinceMs: 1 }]) {
    const path = await logOf(content);
    expect((await drain({ path, ...options })).most).toBeLessThan(1 << 20);
  }
});

test("a line without end comes in pieces, and its tail is found in one go", async () => {
  const path = await logOf(Buffer.concat([Buffer.from(LINE), Buffer.alloc(20_000_000, "x")]));
  const whole = await drain({ path });
  expect(whole.bytes).toBeGreaterThanOrEqual(20_000_000);
  expect(whole.most).toBeLessThan(2 << 20);
  expect((await drain({ path, tail: 1 })).bytes).toBeLessThan(2 << 20);
});

test.each([
  ["nothing", ""],
  ["a byte", "x"],
])("a line that goes on for ever with %s per piece is not held", async (_what, text) => {
  const path = await logOf(`${PIECE}${text}\n`.repeat(400_000) + LINE);
  const before = process.memoryUsage();
  const { most, last } = await drain({ path });
  const after = process.memoryUsage();
  expect(most).toBeLessThan(1 << 20);
  expect(last.toString()).toMatch(/honest\n$/);
  expect(after.heapUsed + after.external - before.heapUsed - before.external).toBeLessThan(100_000_000);
});
