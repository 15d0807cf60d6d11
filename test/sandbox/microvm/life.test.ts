import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { detectCgroups } from "../../../src/sandbox/cgroup/host.ts";
import { until, useBench } from "../../contract/harness.ts";
import { microvmHarness } from "../../contract/microvm-harness.ts";

describe("the life of a micro-VM", () => {
  const bench = useBench({ inside: true, hostKernel: false }, microvmHarness);
  const qemuOf = async (id: string): Promise<number> => Number((await bench.find(id))?.detail["qemuPid"]);

  test("a QEMU that is killed is noticed, and what ran in it has ended", async () => {
    const hints = new Set<string>();
    const unwatch = bench.driver.watch((hint) => hints.add(hint.sandboxId));
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    hints.clear();
    process.kill(await qemuOf(id), "SIGKILL");
    await until("it is hinted at", async () => hints.has(id), 2000);
    const seen = await until("it is not ready", async () => {
      const sandbox = await bench.find(id);
      return sandbox?.state === "not-ready" ? sandbox : undefined;
    });
    unwatch();
    expect(seen.problem).toContain("killed by signal 9");
    expect(seen.containers.find((each) => each.id === app)).toMatchObject({
      state: "exited",
      exitCode: 137,
      terminationMessage: expect.stringContaining("micro-VM ended"),
    });
    expect(await bench.find(id)).toEqual(seen);
    await expect(bench.start(id, { does: "run" })).rejects.toMatchObject({ code: "conflict" });
  });

  test("the end of a QEMU that an earlier daemon started is hinted at, too", async () => {
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "run" });
    const qemu = await qemuOf(id);
    bench.driver = await bench.harness.restart();
    await bench.driver.start(bench.signal);
    await until("it is taken over", async () => (await bench.find(id))?.containers[0]?.pid !== undefined);
    const { promise: hinted, resolve } = Promise.withResolvers<void>();
    const unwatch = bench.driver.watch(async () => {
      if ((await bench.find(id))?.state === "not-ready") resolve();
    });
    process.kill(qemu, "SIGKILL");
    await hinted;
    unwatch();
    expect((await bench.find(id))?.problem).toContain("killed by signal 9");
  });

  test("a crash of the guest's kernel is told of in its own words", async () => {
    const { id } = await bench.sandbox();
    const security = {
      privileged: false,
      noNewPrivileges: false,
      readOnlyRootFilesystem: false,
      capabilities: { add: ["SYS_ADMIN"], drop: [] },
      seccomp: { type: "Unconfined" },
    } as const;
    const script = "mkdir /mine; mount -t proc proc /mine; echo c > /mine/sysrq-trigger";
    const app = await bench.start(id, ["sh", "-c", script], { security });
    const { exitCode, terminationMessage } = await bench.exited(id, app);
    expect({ exitCode, terminationMessage }).toEqual({
      exitCode: 137,
      terminationMessage: expect.stringMatching(/kernel has crashed.*sysrq triggered crash/),
    });
    // Also once what is left of it was stopped.
    await bench.driver.stopSandbox(id, bench.signal);
    expect(await bench.container(id, app)).toMatchObject({ state: "exited", exitCode, terminationMessage });
  });

  test("an app that takes all of the guest's memory is killed for it, and the others go on", async () => {
    const { id } = await bench.sandbox();
    const other = await bench.start(id, { does: "run" });
    const hog = await bench.start(id, ["tail", "/dev/zero"]);
    expect(await bench.exited(id, hog)).toMatchObject({ exitCode: 137, oomKilled: true });
    expect(await bench.container(id, other)).toMatchObject({ state: "running" });
  });

  test("a QEMU that the kernel kills for want of memory is told of as such", async () => {
    const { id, detail } = await bench.sandbox();
    const app = await bench.start(id, ["sh", "-c", "read go; dd if=/dev/zero of=/dev/shm/x bs=1M count=60"], {
      stdin: "kept",
    });
    const session = await bench.driver.attach(id, app, { stdin: true }, bench.signal);
    const group = join(detectCgroups().controller("memory") ?? "", detail["cgroup"] ?? "");
    const [limit, usage] = existsSync(join(group, "memory.max"))
      ? ["memory.max", "memory.current"]
      : ["memory.limit_in_bytes", "memory.usage_in_bytes"];
    writeFileSync(join(group, limit), String(Number(readFileSync(join(group, usage), "utf8")) + 2 ** 22));
    session.stdin?.write("go\n");
    expect(await bench.exited(id, app)).toMatchObject({ exitCode: 137, oomKilled: true });
    expect((await bench.find(id))?.problem).toContain("more memory than the VM's cgroup has");
    expect(await session.exitCode).toBe(137);
  });

  test("a VM that hangs is ended when its container is to be stopped", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    const qemu = await qemuOf(id);
    process.kill(qemu, "SIGSTOP");
    await bench.driver.stopContainer(id, app, { graceMs: 100 }, bench.signal);
    expect(await bench.container(id, app)).toMatchObject({ state: "exited", exitCode: 137 });
    expect((await bench.find(id))?.state).toBe("not-ready");
  });

  test("a VM that was stopped on purpose has switched itself off", async () => {
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "run" });
    await bench.driver.stopSandbox(id, bench.signal);
    const sandbox = await bench.find(id);
    expect(sandbox).toMatchObject({ state: "not-ready", containers: [{ state: "exited", exitCode: 137 }] });
    expect(sandbox?.problem).toBeUndefined();
  });

  test("an agent that is silent is told about, and again when it answers", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    const qemu = await qemuOf(id);
    process.kill(qemu, "SIGSTOP");
    await until("it is said to be silent", async () => (await bench.find(id))?.problem?.includes("does not answer"));
    process.kill(qemu, "SIGCONT");
    await until("it answers again", async () => (await bench.find(id))?.problem === undefined);
    expect(await bench.container(id, app)).toMatchObject({ state: "running" });
  });

  test("two clones of one template share no randomness", async () => {
    const script =
      "head -c 32 /dev/urandom | od -An -tx1; cat /proc/sys/kernel/random/uuid; grep -m1 '\\[stack\\]' /proc/self/maps; hostname; cat /sys/class/net/eth0/address";
    const look = async (): Promise<string[]> => {
      const sandbox = await bench.sandbox();
      expect(sandbox.detail["boot"]).toMatch(/^clone/);
      const app = await bench.start(sandbox.id, { does: "run" });
      const { stdout } = await bench.exec(sandbox.id, app, ["sh", "-c", script]);
      return stdout.trim().split("\n");
    };
    const [a, b] = [await look(), await look()];
    expect(a).toHaveLength(6);
    for (const [n, line] of a.entries()) expect(b[n]).not.toBe(line);
  });

  test("what would share the host's kernel is refused, and nothing of it stays", async () => {
    for (const more of [{ hostNetwork: true }, { hostPID: true }, { hostIPC: true }]) {
      await expect(bench.sandbox(more)).rejects.toMatchObject({ code: "unsupported" });
    }
    const volumes = [{ name: "host", kind: "hostPath", hostPath: "/dev/null" } as const];
    await expect(bench.sandbox({ volumes })).rejects.toMatchObject({ code: "unsupported" });
    expect(await bench.driver.list()).toEqual([]);
  });
});
