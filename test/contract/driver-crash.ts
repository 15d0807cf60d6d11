import { expect, test } from "vitest";
import { type Bench, until } from "./harness.ts";

export function crashSafety(bench: Bench): void {
  const { signal } = bench;

  test("another driver over the same state adopts what runs", async () => {
    const config = bench.sandboxConfig();
    await bench.driver.runSandbox(config, signal);
    const app = await bench.start(config.id, { does: "run" });
    await bench.ready(config.id, app);
    const ended = await bench.start(config.id, { does: "exit", code: 5, message: "bye" });
    await bench.exited(config.id, ended);
    const byId = (a: { id: string }, b: { id: string }): number => a.id.localeCompare(b.id);
    const before = (await bench.find(config.id))?.containers.toSorted(byId);
    bench.driver = await bench.harness.restart();
    await bench.driver.start(signal);
    const after = await bench.find(config.id);
    expect(after?.state).toBe("ready");
    expect(after?.containers.toSorted(byId)).toEqual(before);
    await bench.driver.runSandbox(config, signal);
    await bench.driver.stopContainer(config.id, app, { graceMs: 10_000 }, signal);
    expect(await bench.container(config.id, app)).toMatchObject({ state: "exited", exitCode: 143 });
    expect(await bench.container(config.id, ended)).toMatchObject({ exitCode: 5 });
  });

  test("an app that ends while no driver is there keeps its exit code", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "exit", code: 6 });
    bench.driver = await bench.harness.restart();
    await bench.driver.start(signal);
    expect(await bench.exited(id, app)).toMatchObject({ exitCode: 6 });
  });

  test("calls that are aborted at any moment can be repeated, or cleaned up after", async () => {
    for (let i = 0; i < 12; i++) {
      const config = bench.sandboxConfig();
      const container = bench.containerConfig({ does: "run" });
      const abort = new AbortController();
      const build = async (): Promise<void> => {
        await bench.driver.runSandbox(config, abort.signal);
        await bench.driver.createContainer(config.id, container, abort.signal);
        await bench.driver.startContainer(config.id, container.id, abort.signal);
      };
      const timer = setTimeout(() => abort.abort(), i * 7);
      await build().catch((error: unknown) => expect(error).toMatchObject({ code: "cancelled" }));
      clearTimeout(timer);
      if (i % 2 === 0) {
        await bench.driver.runSandbox(config, signal);
        await bench.driver.createContainer(config.id, container, signal);
        await bench.driver.startContainer(config.id, container.id, signal);
        await until("it runs", async () => (await bench.container(config.id, container.id))?.state === "running");
      }
      await bench.driver.removeSandbox(config.id, signal);
      expect(await bench.find(config.id)).toBeUndefined();
      expect(await bench.driver.collectGarbage(signal)).toEqual([]);
    }
  });
}
