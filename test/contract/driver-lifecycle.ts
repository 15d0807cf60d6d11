import { expect, test } from "vitest";
import { type Bench, until } from "./harness.ts";

export function lifecycle(bench: Bench): void {
  const { signal } = bench;

  test("a sandbox is listed with what it was made from", async () => {
    const config = bench.sandboxConfig();
    const observed = await bench.driver.runSandbox(config, signal);
    expect(observed).toMatchObject({
      id: config.id,
      state: "ready",
      pod: config.pod,
      labels: config.labels,
      attempt: 0,
    });
    expect(observed.ips).toHaveLength(1);
    expect(await bench.find(config.id)).toEqual(observed);
  });

  test("a container goes from created to running to exited", async () => {
    const { id } = await bench.sandbox();
    const config = bench.containerConfig({ does: "run" });
    await bench.driver.createContainer(id, config, signal);
    expect(await bench.container(id, config.id)).toMatchObject({
      id: config.id,
      name: config.name,
      state: "created",
      specHash: "hash",
      labels: { tier: "test" },
      imageDigest: config.imageDigest,
      imageName: "busybox:1",
      logPath: config.logPath,
    });
    await bench.driver.startContainer(id, config.id, signal);
    const running = await bench.container(id, config.id);
    expect(running).toMatchObject({ state: "running" });
    expect(running?.pid).toBeGreaterThan(1);
    expect(running?.startedAt).toBeGreaterThanOrEqual(running?.createdAt ?? Number.NaN);
    await bench.ready(id, config.id);
    await bench.driver.stopContainer(id, config.id, { graceMs: 10_000 }, signal);
    const exited = await bench.exited(id, config.id);
    expect(exited.exitCode).toBe(143);
    expect(exited.finishedAt).toBeGreaterThanOrEqual(exited.startedAt ?? Number.NaN);
  });

  test.each([0, 1, 3, 255])("an app that ends with %i says so", async (code) => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "exit", code });
    expect(await bench.exited(id, container)).toMatchObject({ exitCode: code, oomKilled: false });
  });

  test("the termination message is handed on", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "exit", code: 1, message: "out of luck" });
    expect((await bench.exited(id, container)).terminationMessage?.trim()).toBe("out of luck");
  });

  test("everything may be called twice", async () => {
    const config = bench.sandboxConfig();
    const first = await bench.driver.runSandbox(config, signal);
    expect(await bench.driver.runSandbox(config, signal)).toEqual(first);
    const container = bench.containerConfig({ does: "run" });
    for (let i = 0; i < 2; i++) await bench.driver.createContainer(config.id, container, signal);
    for (let i = 0; i < 2; i++) await bench.driver.startContainer(config.id, container.id, signal);
    const running = await bench.container(config.id, container.id);
    await bench.driver.createContainer(config.id, container, signal);
    expect(await bench.container(config.id, container.id)).toEqual(running);
    await bench.ready(config.id, container.id);
    for (let i = 0; i < 2; i++) await bench.driver.stopContainer(config.id, container.id, { graceMs: 10_000 }, signal);
    for (let i = 0; i < 2; i++) await bench.driver.removeContainer(config.id, container.id, signal);
    expect((await bench.find(config.id))?.containers).toEqual([]);
    for (let i = 0; i < 2; i++) await bench.driver.stopSandbox(config.id, signal);
    expect(await bench.find(config.id)).toMatchObject({ state: "not-ready", ips: [] });
    for (let i = 0; i < 2; i++) await bench.driver.removeSandbox(config.id, signal);
    expect(await bench.find(config.id)).toBeUndefined();
  });

  test("what is not there can be stopped and removed, and nothing else", async () => {
    const { id } = await bench.sandbox();
    for (const sandbox of ["nowhere", id]) {
      await bench.driver.stopContainer(sandbox, "nothing", { graceMs: 0 }, signal);
      await bench.driver.removeContainer(sandbox, "nothing", signal);
      const request = { command: ["true"], tty: false, stdin: false };
      await expect(bench.driver.startContainer(sandbox, "nothing", signal)).rejects.toMatchObject({
        code: "not-found",
      });
      await expect(bench.driver.exec(sandbox, "nothing", request, signal)).rejects.toMatchObject({ code: "not-found" });
      await expect(bench.driver.stats(sandbox, "nothing")).rejects.toMatchObject({ code: "not-found" });
      await expect(bench.driver.reopenLog(sandbox, "nothing")).rejects.toMatchObject({ code: "not-found" });
    }
    await bench.driver.stopSandbox("nowhere", signal);
    await bench.driver.removeSandbox("nowhere", signal);
    const config = bench.containerConfig({ does: "run" });
    await expect(bench.driver.createContainer("nowhere", config, signal)).rejects.toMatchObject({ code: "not-found" });
  });

  test("a stopped sandbox takes no containers and is not run again", async () => {
    const config = bench.sandboxConfig();
    await bench.driver.runSandbox(config, signal);
    await bench.driver.stopSandbox(config.id, signal);
    await expect(bench.driver.runSandbox(config, signal)).rejects.toMatchObject({ code: "conflict" });
    const container = bench.containerConfig({ does: "run" });
    await expect(bench.driver.createContainer(config.id, container, signal)).rejects.toMatchObject({
      code: "conflict",
    });
  });

  test("stopping and removing a sandbox takes running containers along", async () => {
    const { id } = await bench.sandbox();
    const a = await bench.start(id, { does: "run" });
    const b = await bench.start(id, { does: "ignore-term" });
    await bench.driver.stopSandbox(id, signal);
    expect(await bench.exited(id, a)).toMatchObject({ exitCode: 137 });
    expect(await bench.exited(id, b)).toMatchObject({ exitCode: 137 });
    const other = await bench.sandbox();
    await bench.start(other.id, { does: "run" });
    await bench.driver.removeSandbox(other.id, signal);
    expect(await bench.find(other.id)).toBeUndefined();
  });

  test("a command that does not exist is a clear error, and the sandbox goes on", async () => {
    const { id } = await bench.sandbox();
    await expect(bench.start(id, { does: "not-there" })).rejects.toMatchObject({
      code: "runtime-failed",
      details: { reason: "StartError" },
    });
    const container = await bench.start(id, { does: "run" });
    expect(await bench.container(id, container)).toMatchObject({ state: "running" });
  });

  test("an end is hinted at", async () => {
    const hints: string[] = [];
    const unwatch = bench.driver.watch((hint) => hints.push(hint.sandboxId));
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "exit", code: 0 });
    await until("a hint comes", async () => hints.includes(id));
    unwatch();
  });

  test("an aborted call says so", async () => {
    const aborted = AbortSignal.abort();
    const config = bench.sandboxConfig();
    await expect(bench.driver.runSandbox(config, aborted)).rejects.toMatchObject({ code: "cancelled" });
    const { id } = await bench.sandbox();
    const container = bench.containerConfig({ does: "run" });
    await expect(bench.driver.createContainer(id, container, aborted)).rejects.toMatchObject({ code: "cancelled" });
  });

  test("stats of a running container", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(id, { does: "run" });
    const stats = await bench.driver.stats(id, container);
    expect(stats.processes).toBeGreaterThanOrEqual(1);
    expect(stats.memoryBytes).toBeGreaterThan(0);
    expect(stats.cpuUsageNs).toBeGreaterThanOrEqual(0);
    const whole = await bench.driver.podStats(id);
    expect(whole.memoryBytes).toBeGreaterThan(0);
    expect(whole.processes).toBeGreaterThanOrEqual(1);
    expect((await bench.driver.networkStats(id)).map(({ name }) => name)).toEqual(["eth0"]);
    expect(await bench.driver.networkStats("nothing")).toEqual([]);
    await expect(bench.driver.podStats("nothing")).rejects.toMatchObject({ code: "not-found" });
  });
}
