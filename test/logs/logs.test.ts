import { spawn } from "node:child_process";
import { appendFile, link, mkdtemp, readdir, rename, rm, truncate, unlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { createLogRotator, lastLines, parseCriLine, type ReadLogOptions, readLog } from "../../src/logs/index.ts";
import { systemClock } from "../../src/system/clock.ts";
import { silentLogger } from "../../src/system/log.ts";
import { until } from "../api/fake-backend.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "gantry-logs-"));
  path = join(directory, "0.log");
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const time = (n: number) => `${new Date(Date.UTC(2026, 0, 1) + n * 1000).toISOString().slice(0, 19)}.000000000Z`;
const line = (n: number, text = `line ${n}`, tag = "F", stream = "stdout") => `${time(n)} ${stream} ${tag} ${text}\n`;
const lines = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => line(from + i)).join("");

async function read(options: Omit<ReadLogOptions, "path"> = {}): Promise<string> {
  let out = "";
  for await (const chunk of readLog({ path, ...options })) out += chunk.toString("utf8");
  return out;
}
const numbers = (text: string): number[] => [...text.matchAll(/^line (\d+)$/gm)].map(([, n]) => Number(n));
const range = (from: number, to: number) => Array.from({ length: to - from }, (_, i) => from + i);

describe("a line in CRI format", () => {
  test.each([
    ["2026-01-01T00:00:00.123456789Z stdout F hello world", "hello world", false],
    ["2026-01-01T00:00:00.1+02:00 stderr P par", "par", true],
    ["2026-01-01T00:00:00Z stdout F ", "", false],
    ["2026-01-01T00:00:00Z stdout F", "", false],
    ["2026-01-01T00:00:00Z stdout P:x y", "y", true],
    ["2026-01-01T00:00:00Z stdout F  two spaces", " two spaces", false],
  ])("%s", (text, content, partial) => {
    const parsed = parseCriLine(Buffer.from(text));
    expect(parsed?.text.toString()).toBe(content);
    expect(parsed?.partial).toBe(partial);
  });

  test.each([
    "",
    "hello",
    "2026 stdout F x",
    "2026-01-01T00:00:00Z stdin F x",
    "2026-01-01T00:00:00Z stdout X x",
    "\0\0\0",
  ])("'%s' is none", (text) => expect(parseCriLine(Buffer.from(text))).toBeUndefined());

  test("nothing crashes it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        parseCriLine(Buffer.from(bytes));
      }),
    );
  });
});

describe("reading", () => {
  test("a log that is not there is empty", async () => {
    expect(await read()).toBe("");
    expect(await read({ tail: 5, follow: true })).toBe("");
    path = join(directory, "none", "0.log");
    expect(await read({ follow: true })).toBe("");
  });

  test("partial lines are joined per stream", async () => {
    const parts = [
      line(1, "a", "P"),
      line(2, "E", "P", "stderr"),
      line(3, "b", "P"),
      line(4, "c"),
      line(5, "F", "F", "stderr"),
    ];
    await writeFile(path, parts.join(""));
    expect(await read()).toBe("abc\nEF\n");
    expect(await read({ timestamps: true })).toBe(`${time(1)} abc\n${time(2)} EF\n`);
  });

  test("what is no CRI line is shown as it is; a cut off last line too", async () => {
    await writeFile(path, `${line(1)}garbage\n\n${line(2)}${line(3).slice(0, -3)}`);
    expect(await read()).toBe("line 1\ngarbage\nline 2\nline\n");
  });

  test("binary output comes through as it is", async () => {
    const data = Buffer.from([0, 255, 254, 13, 27, 0x80]);
    await writeFile(path, Buffer.concat([Buffer.from(`${time(1)} stdout F `), data, Buffer.from("\n")]));
    const chunks: Buffer[] = [];
    for await (const chunk of readLog({ path })) chunks.push(chunk);
    expect(Buffer.concat(chunks)).toEqual(Buffer.concat([data, Buffer.from("\n")]));
  });

  test("rotated files come first, compressed or not, and foreign files not at all", async () => {
    await writeFile(`${path}.20260101-000000.gz`, gzipSync(lines(0, 10)));
    await writeFile(`${path}.20260102-000000`, lines(10, 20));
    await writeFile(`${path}.20260102-000000.500`, lines(20, 30));
    await writeFile(path, lines(30, 40));
    await writeFile(`${path}.tmp`, lines(100, 110));
    await writeFile(join(directory, "1.log"), lines(100, 110));
    expect(numbers(await read())).toEqual(range(0, 40));
    expect(numbers(await read({ tail: 15 }))).toEqual(range(25, 40));
    expect(numbers(await read({ tail: 35 }))).toEqual(range(5, 40));
    expect(numbers(await read({ tail: 99 }))).toEqual(range(0, 40));
    expect(numbers(await read({ sinceMs: Date.parse(time(12)) }))).toEqual(range(12, 40));
    expect(numbers(await read({ sinceMs: Date.parse(time(12)), tail: 3 }))).toEqual(range(37, 40));
    expect(await read({ sinceMs: Date.parse(time(99)) })).toBe("");
  });

  test("the tail is that of the whole text, whatever the lines", async () => {
    const entry = fc.record({ length: fc.nat(9000), tag: fc.constantFrom("F", "F", "P"), bad: fc.nat(20) });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 60 }), fc.nat(30), async (entries, tail) => {
        const text = entries.map(({ length, tag, bad }, i) => (bad === 0 ? "bad\n" : line(i, "x".repeat(length), tag)));
        await writeFile(path, text.join(""));
        const whole = await read();
        const ends = whole.endsWith("\n") || whole === "";
        const all = whole.split("\n");
        if (ends) all.pop();
        const expected = tail === 0 ? [] : all.slice(-tail);
        const last = expected.length === 0 || !ends ? "" : "\n";
        expect(await read({ tail })).toBe(expected.join("\n") + last);
      }),
      { numRuns: 60 },
    );
  });

  test("lastLines: the end of a log, in whole characters", async () => {
    await writeFile(path, lines(0, 200));
    expect(await lastLines(path, 2048, 3)).toBe("line 197\nline 198\nline 199\n");
    expect(await lastLines(path)).toHaveLength([...range(120, 200)].join("").length + 80 * 6);
    await writeFile(path, line(1, "é".repeat(2000)));
    expect(await lastLines(path, 100)).toBe(`${"é".repeat(49)}\n`);
    expect(await lastLines(join(directory, "none.log"))).toBe("");
  });
});

describe("following", () => {
  /** Follows in the background. */
  function follow(options: Omit<ReadLogOptions, "path" | "follow" | "running"> = {}) {
    const state = { text: "", alive: true, looks: 0, done: Promise.resolve() };
    state.done = (async () => {
      const running = () => {
        state.looks += 1;
        return state.alive;
      };
      for await (const chunk of readLog({ path, follow: true, running, ...options }))
        state.text += chunk.toString("utf8");
    })();
    return state;
  }

  test("shows what is written, a prompt without a newline too, and ends with its writer", async () => {
    const seen = follow();
    await writeFile(path, lines(0, 2));
    await until(() => seen.text === "line 0\nline 1\n", "the first lines");
    await appendFile(path, line(2, "Password: ", "P"));
    await until(() => seen.text.endsWith("Password: "), "the prompt");
    await appendFile(path, line(3, "E", "F", "stderr") + line(4, "yes"));
    seen.alive = false;
    await seen.done;
    expect(seen.text).toBe("line 0\nline 1\nPassword: \nE\nyes\n");
  });

  test("a line written in two pieces is one line", async () => {
    await writeFile(path, line(1));
    const seen = follow();
    await until(() => seen.text !== "", "the first line");
    await appendFile(path, line(2).slice(0, 20));
    await appendFile(path, line(2).slice(20));
    seen.alive = false;
    await seen.done;
    expect(seen.text).toBe("line 1\nline 2\n");
  });

  test("goes on through rotations, even several at once, and through emptying", async () => {
    await writeFile(path, lines(0, 5));
    const seen = follow({ tail: 2 });
    await until(() => numbers(seen.text).length === 2, "the tail");
    await rename(path, `${path}.20260101-000001`);
    // The writer has not reopened yet.
    await appendFile(`${path}.20260101-000001`, lines(5, 7));
    await until(() => numbers(seen.text).length === 4, "lines in the renamed file");
    // The next file is there, and the writer has not turned to it yet.
    await writeFile(path, "");
    const looks = seen.looks;
    await until(() => seen.looks >= looks + 2, "a look at it");
    await appendFile(`${path}.20260101-000001`, lines(7, 8));
    await until(() => numbers(seen.text).length === 5, "a line more in the renamed file");
    await appendFile(path, lines(8, 9));
    await rename(path, `${path}.20260101-000002`);
    await writeFile(path, lines(9, 11));
    await until(() => numbers(seen.text).length === 8, "lines of both files");
    await truncate(path, 0);
    await until(async () => {
      if (numbers(seen.text).length > 8) return true;
      await writeFile(path, lines(11, 12));
      return false;
    }, "a line after the file was emptied");
    seen.alive = false;
    await seen.done;
    expect(numbers(seen.text)).toEqual([...range(3, 12)]);
  });

  test("ends on abort", async () => {
    const stop = new AbortController();
    const seen = follow({ signal: stop.signal });
    stop.abort();
    await seen.done;
  });
});

describe("rotating", () => {
  /** Writes lines as fast as it can, like conmon: one write per line, a new file when told to. */
  class Writer {
    readonly #child = spawn(process.execPath, ["--input-type=module", "-e", WRITER, path], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    #told: (() => void) | undefined;
    constructor() {
      this.#child.stdout.on("data", () => this.#told?.());
    }
    reopen(): Promise<void> {
      return new Promise((resolve) => {
        this.#told = resolve;
        this.#child.stdin.write("r");
      });
    }
    async stop(): Promise<number> {
      const ended = new Promise<number>((resolve) => this.#child.once("exit", () => resolve(0)));
      this.#child.stdin.end();
      return ended;
    }
  }
  const WRITER = `
    import { closeSync, openSync, writeSync } from "node:fs";
    const path = process.argv[1];
    let fd = openSync(path, "a");
    let n = 0;
    let stop = false;
    process.stdin.on("data", () => { closeSync(fd); fd = openSync(path, "a"); process.stdout.write("k"); });
    process.stdin.on("end", () => { stop = true; });
    const write = () => {
      for (let i = 0; i < 200; i += 1) writeSync(fd, new Date().toISOString() + " stdout F line " + n++ + "\\n");
      if (!stop) setImmediate(write); else closeSync(fd);
    };
    write();
  `;
  const rotator = (maxFiles: number, maxSizeBytes: number) =>
    createLogRotator({ maxFiles, maxSizeBytes, log: silentLogger(), clock: systemClock });

  test("under a fast writer loses no line and doubles none, for files and for who follows", async () => {
    const writer = new Writer();
    let alive = true;
    let followed = "";
    await until(async () => (await readdir(directory)).length > 0, "the writer");
    const following = (async () => {
      for await (const chunk of readLog({ path, follow: true, running: () => alive }))
        followed += chunk.toString("latin1");
    })();
    const rotate = rotator(1000, 50_000);
    let rotations = 0;
    await until(
      async () => {
        if ((await rotate.rotateIfNeeded({ path, reopen: () => writer.reopen() })) === "rotated") rotations += 1;
        return rotations >= 20;
      },
      "20 rotations",
      30_000,
    );
    await writer.stop();
    alive = false;
    await following;
    const all = numbers(await read());
    expect(all.length).toBeGreaterThan(1000);
    expect(all).toEqual(range(0, all.length));
    expect(numbers(followed)).toEqual(all);
  });

  test("keeps no more files than it may, the newest", async () => {
    const rotate = rotator(3, 10);
    for (let n = 0; n < 6; n += 1) {
      await writeFile(path, lines(n * 10, n * 10 + 10));
      expect(await rotate.rotateIfNeeded({ path, reopen: () => writeFile(path, "") })).toBe("rotated");
    }
    expect((await readdir(directory)).length).toBe(3);
    expect(numbers(await read())).toEqual(range(40, 60));
    expect(await rotate.rotateIfNeeded({ path, reopen: () => Promise.reject(new Error("not asked")) })).toBe("kept");
  });

  test("names sort in the order of rotation though the clock stands still or goes back", async () => {
    let now = Date.UTC(2026, 5, 1);
    const clock = { ...systemClock, now: () => now };
    const rotate = createLogRotator({ maxFiles: 10, maxSizeBytes: 1, log: silentLogger(), clock });
    for (let n = 0; n < 5; n += 1) {
      await writeFile(path, line(n));
      await rotate.rotateIfNeeded({ path, reopen: () => writeFile(path, "") });
      if (n > 1) now -= 3_600_000;
    }
    expect(numbers(await read())).toEqual(range(0, 5));
  });

  test("a crash between rename and reopen is made good; without a log nothing happens", async () => {
    const rotate = rotator(3, 10);
    expect(await rotate.rotateIfNeeded({ path, reopen: () => Promise.reject(new Error("no")) })).toBe("kept");
    await writeFile(`${path}.20260101-000000.000`, lines(0, 3));
    expect(await rotate.rotateIfNeeded({ path, reopen: () => writeFile(path, lines(3, 4)) })).toBe("reopened");
    expect(numbers(await read())).toEqual(range(0, 4));
  });

  test("a writer that can't reopen gets its file back; one that did after all keeps the new one", async () => {
    const rotate = rotator(3, 10);
    await writeFile(path, lines(0, 3));
    expect(await rotate.rotateIfNeeded({ path, reopen: () => Promise.reject(new Error("gone")) })).toBe("failed");
    expect(await readdir(directory)).toEqual(["0.log"]);
    const late = async () => {
      await writeFile(path, lines(3, 5));
      throw new Error("timeout");
    };
    expect(await rotate.rotateIfNeeded({ path, reopen: late })).toBe("failed");
    expect(numbers(await read())).toEqual(range(0, 5));
  });

  test("one file under two names, as after a crash while it got its name back, is read once", async () => {
    await writeFile(path, lines(0, 3));
    await link(path, `${path}.20260101-000000.000`);
    expect(numbers(await read())).toEqual(range(0, 3));
    await unlink(path);
    expect(numbers(await read())).toEqual(range(0, 3));
  });

  test.each([
    [1, 10],
    [2.5, 10],
    [3, 0],
    [3, Number.NaN],
  ])("%d files of %d bytes are refused", (maxFiles, maxSizeBytes) => {
    expect(() => rotator(maxFiles, maxSizeBytes)).toThrowError(expect.objectContaining({ code: "invalid-config" }));
  });
});
