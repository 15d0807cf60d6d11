import { readFile, rename } from "node:fs/promises";
import { expect, test } from "vitest";
import { type Bench, until } from "./harness.ts";

const LINE = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}\S+ (stdout|stderr) (F|P) (.*)$/;

export function logging(bench: Bench): void {
  test("output is in CRI format, by stream, with long lines in parts", async () => {
    const { id } = await bench.sandbox();
    const script = "echo out; echo err >&2; printf '%020000d\\n' 7";
    const config = bench.containerConfig(["sh", "-c", script]);
    await bench.driver.createContainer(id, config, bench.signal);
    await bench.driver.startContainer(id, config.id, bench.signal);
    await bench.exited(id, config.id);
    const lines = (await readFile(config.logPath, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => LINE.exec(line));
    expect(lines.every((line) => line !== null)).toBe(true);
    expect(lines.some((line) => line?.[1] === "stdout" && line[3] === "out")).toBe(true);
    expect(lines.some((line) => line?.[1] === "stderr" && line[3] === "err")).toBe(true);
    const long = lines
      .filter((line) => line?.[3]?.match(/^0|7$/))
      .map((line) => line?.[3])
      .join("");
    expect(long).toBe(`${"0".repeat(19_999)}7`);
  });

  test("what has no end of line yet is there, and the rest of the line follows", async () => {
    const { id } = await bench.sandbox();
    const config = bench.containerConfig([
      "sh",
      "-c",
      "printf begun; until [ -e /go ]; do sleep 0.02; done; echo ' ended'",
    ]);
    await bench.driver.createContainer(id, config, bench.signal);
    await bench.driver.startContainer(id, config.id, bench.signal);
    const log = async (): Promise<string> => await readFile(config.logPath, "utf8");
    await until("the beginning is there", async () => (await log()).endsWith(" stdout P begun\n"));
    await bench.exec(id, config.id, ["touch", "/go"]);
    await bench.exited(id, config.id);
    expect(wholeLines(await log())).toEqual(["begun ended"]);
  });

  test("what an app writes last is there when its end shows", async () => {
    const { id } = await bench.sandbox();
    for (let round = 0; round < 5; round++) {
      const config = bench.containerConfig(["sh", "-c", "seq 1 500; echo last"]);
      const { promise: log, resolve } = Promise.withResolvers<string>();
      const unwatch = bench.driver.watch(async () => {
        if ((await bench.container(id, config.id))?.state === "exited") resolve(await readFile(config.logPath, "utf8"));
      });
      await bench.driver.createContainer(id, config, bench.signal);
      await bench.driver.startContainer(id, config.id, bench.signal);
      expect((await log).slice(-7)).toBe(" F last\n".slice(-7));
      unwatch();
      await bench.driver.removeContainer(id, config.id, bench.signal);
    }
  });

  test("reopening loses no line of an app that writes fast", async () => {
    const { id } = await bench.sandbox();
    const count = 60_000;
    const config = bench.containerConfig(["sh", "-c", `seq 1 ${count}`]);
    await bench.driver.createContainer(id, config, bench.signal);
    await bench.driver.startContainer(id, config.id, bench.signal);
    const old: string[] = [];
    for (let i = 0; i < 5; i++) {
      const moved = `${config.logPath}.${i}`;
      await rename(config.logPath, moved);
      old.push(moved);
      await bench.driver.reopenLog(id, config.id);
      const state = (await bench.container(id, config.id))?.state;
      if (state === "exited") break;
      await until("the log is there again", async () => {
        const there = await readFile(config.logPath, "utf8").catch(() => undefined);
        return there !== undefined || (await bench.container(id, config.id))?.state === "exited";
      });
      if ((await bench.container(id, config.id))?.state === "exited") break;
    }
    await bench.exited(id, config.id);
    const parts = await Promise.all([...old, config.logPath].map((path) => readFile(path, "utf8").catch(() => "")));
    const numbers = wholeLines(parts.join("")).map(Number);
    expect(numbers).toHaveLength(count);
    expect(new Set(numbers).size).toBe(count);
    await bench.driver.reopenLog(id, config.id); // nobody writes any more: fine
  });
}

/** Lines as the app wrote them: what conmon wrote in parts (P) put together up to its end (F). */
function wholeLines(log: string): string[] {
  const lines: string[] = [];
  let begun = "";
  for (const line of log.trimEnd().split("\n")) {
    const [, , tag, text = ""] = LINE.exec(line) ?? [];
    begun += text;
    if (tag !== "F") continue;
    lines.push(begun);
    begun = "";
  }
  return lines;
}
