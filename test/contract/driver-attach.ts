import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { testWhere } from "../support/test-where.ts";
import { type Bench, until } from "./harness.ts";

/** Joining the app itself: its output from now on, its input where it has one. */
export function attaching(bench: Bench): void {
  const { signal } = bench;
  const copying = async (stdin: "once" | "kept", tty = false): Promise<[string, string]> => {
    const { id } = await bench.sandbox();
    return [id, await bench.start(id, { does: "copy" }, { stdin, tty })];
  };

  test("what one types, all see; leaving it disturbs nothing", async () => {
    const [id, app] = await copying("kept");
    const one = await bench.driver.attach(id, app, { stdin: true }, signal);
    const other = await bench.driver.attach(id, app, { stdin: false }, signal);
    expect(other.stdin).toBeUndefined();
    const [seen, alsoSeen] = [collect(one.stdout), collect(other.stdout)];
    one.stdin?.write("a line\nand half");
    await until("both have it", async () => [seen(), alsoSeen()].every((all) => all === "a line\nand half"));
    one.stdin?.end();
    one.kill();
    await one.exitCode;
    const third = await bench.driver.attach(id, app, { stdin: true }, signal);
    third.stdin?.write(" more\n");
    await until("its input goes on", async () => alsoSeen() === "a line\nand half more\n");
    expect(await bench.container(id, app)).toMatchObject({ state: "running" });
    await bench.driver.stopContainer(id, app, { graceMs: 0, stopSignal: "SIGKILL" }, signal);
    expect(await other.exitCode).toBe(137);
    expect(await third.exitCode).toBe(137);
  });

  test("stdin that is there once ends with its first client", async () => {
    const [id, app] = await copying("once");
    const session = await bench.driver.attach(id, app, { stdin: true }, signal);
    const output = text(session.stdout);
    const input = "some line\n".repeat(20_000);
    session.stdin?.end(input);
    expect(await session.exitCode).toBe(0);
    expect(await output).toBe(input);
    expect(await bench.exited(id, app)).toMatchObject({ exitCode: 0 });
  });

  test("an app without stdin can only be listened to", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    await expect(bench.driver.attach(id, app, { stdin: true }, signal)).rejects.toMatchObject({ code: "conflict" });
    const abort = new AbortController();
    const session = await bench.driver.attach(id, app, { stdin: false }, abort.signal);
    session.stdout.resume();
    abort.abort();
    await session.exitCode;
    expect(await bench.container(id, app)).toMatchObject({ state: "running" });
  });

  test("not to one that has ended, or is not there", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "exit", code: 0 });
    await bench.exited(id, app);
    const attach = (container: string) => bench.driver.attach(id, container, { stdin: false }, signal);
    await expect(attach(app)).rejects.toMatchObject({ code: "runtime-failed" });
    await expect(attach("no-such-container")).rejects.toMatchObject({ code: "not-found" });
  });

  test("it is the same after a restart of the daemon", async () => {
    const [id, app] = await copying("kept");
    bench.driver = await bench.harness.restart();
    await bench.driver.start(signal);
    const session = await bench.driver.attach(id, app, { stdin: true }, signal);
    const seen = collect(session.stdout);
    session.stdin?.write("still here\n");
    await until("it answers", async () => seen() === "still here\n");
    session.kill();
  });

  testWhere(bench.features.inside)("a client that never reads holds up neither the app nor another", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, ["sh", "-c", "read go; seq 1 200000; exit 4"], { stdin: "kept" });
    const deaf = await bench.driver.attach(id, app, { stdin: true }, signal);
    const other = await bench.driver.attach(id, app, { stdin: false }, signal);
    const output = text(other.stdout);
    deaf.stdin?.write("go\n");
    expect(await bench.exited(id, app)).toMatchObject({ exitCode: 4 });
    expect(await other.exitCode).toBe(4);
    expect(await output).toBe(Array.from({ length: 200_000 }, (_, n) => `${n + 1}\n`).join(""));
    deaf.kill();
    await deaf.exitCode;
  });

  testWhere(bench.features.inside)("a terminal: one stream, its size, the exit code of the app", async () => {
    const { id } = await bench.sandbox();
    const script =
      "tty; echo err >&2; until stty size 2>/dev/null | grep '45 123'; do sleep 0.05; done; read line; echo got $line; exit 9";
    const waiting = ["sh", "-c", `read go; ${script}`];
    const app = await bench.start(id, waiting, { stdin: "kept", tty: true });
    const session = await bench.driver.attach(id, app, { stdin: true }, signal);
    expect(session.stderr).toBeUndefined();
    const output = text(session.stdout);
    session.stdin?.write("go\n");
    session.resize(123, 45);
    session.stdin?.write("word\n");
    expect(await session.exitCode).toBe(9);
    const shown = await output;
    for (const part of ["/dev/pts/0", "err", "45 123", "got word"]) expect(shown).toContain(part);
  });
}

/** Reads all the time; tells what was read so far. */
function collect(stream: Readable): () => string {
  let all = "";
  stream.on("data", (chunk: Buffer) => {
    all += chunk.toString();
  });
  return () => all;
}
