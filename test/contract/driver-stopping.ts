import { expect, test } from "vitest";
import type { Bench } from "./harness.ts";

export function stopping(bench: Bench): void {
  const { signal } = bench;

  test("a container that was never started can be stopped", async () => {
    const { id } = await bench.sandbox();
    const config = bench.containerConfig({ does: "run" });
    await bench.driver.createContainer(id, config, signal);
    await bench.driver.stopContainer(id, config.id, { graceMs: 10_000 }, signal);
    expect(await bench.exited(id, config.id)).toMatchObject({ exitCode: 137 });
  });

  test("an app may end in its own way within the grace period", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "exit-on-term", code: 7 });
    await bench.ready(id, container);
    await bench.driver.stopContainer(id, container, { graceMs: 20_000 }, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 7 });
  });

  test("one that does not listen is killed after it", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "ignore-term" });
    await bench.ready(id, container);
    await bench.driver.stopContainer(id, container, { graceMs: 50 }, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 137 });
  });

  test.each(["SIGKILL", "KILL", "9"])("the stop signal may be %s", async (stopSignal) => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "ignore-term" });
    await bench.driver.stopContainer(id, container, { stopSignal, graceMs: 20_000 }, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 137 });
  });

  test("a signal that does not exist is refused", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "run" });
    const stop = { stopSignal: "SIGNOPE", graceMs: 0 };
    await expect(bench.driver.stopContainer(id, container, stop, signal)).rejects.toMatchObject({ code: "usage" });
  });

  test("waiting for the end can be aborted; a second call finishes", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "ignore-term" });
    await bench.ready(id, container);
    const abort = new AbortController();
    const stopped = bench.driver.stopContainer(id, container, { graceMs: 60_000 }, abort.signal);
    setTimeout(() => abort.abort(), 20);
    await expect(stopped).rejects.toMatchObject({ code: "cancelled" });
    expect(await bench.container(id, container)).toMatchObject({ state: "running" });
    await bench.driver.stopContainer(id, container, { graceMs: 0 }, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 137 });
  });

  test("one that has ended by itself keeps its exit code when stopped", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "exit", code: 4 });
    await bench.exited(id, container);
    await bench.driver.stopContainer(id, container, { graceMs: 1000 }, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 4 });
    await bench.driver.startContainer(id, container, signal);
    expect(await bench.container(id, container)).toMatchObject({ state: "exited", exitCode: 4 });
  });
}
