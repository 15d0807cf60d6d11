import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { exec } from "../../src/system/exec.ts";
import { until, useBench } from "../contract/harness.ts";
import { type NamespaceHarness, namespaceHarness } from "../contract/namespace-harness.ts";

/** What others, crashes and reboots do to a namespace sandbox behind the driver's back. */
describe("a namespace sandbox that is meddled with", () => {
  let harness: NamespaceHarness | undefined;
  const bench = useBench({ inside: true, hostKernel: true }, async () => {
    harness = await namespaceHarness("crun");
    return harness;
  });
  const { signal } = bench;
  const fileOf = (sandbox: string, ...rest: string[]): string =>
    join(harness?.paths.run ?? "", "sandboxes", sandbox, ...rest);

  test("a killed app has ended with 137", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    process.kill((await bench.container(id, app))?.pid ?? Number.NaN, "SIGKILL");
    expect(await bench.exited(id, app)).toMatchObject({ exitCode: 137, oomKilled: false });
  });

  test("an app without its monitor is as good as lost, whatever it does", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    await bench.ready(id, app);
    const conmon = Number(await readFile(fileOf(id, "containers", app, "conmon.pid"), "utf8"));
    process.kill(conmon, "SIGKILL");
    await until("conmon is gone", async () => !existsSync(`/proc/${conmon}`) || (await isZombie(conmon)));
    expect(await bench.container(id, app)).toMatchObject({ state: "unknown" });
    await bench.driver.stopContainer(id, app, { graceMs: 10_000 }, signal);
    const lost = await bench.container(id, app);
    expect(lost?.state).toBe("unknown");
    expect(lost?.exitCode).toBeUndefined();
  });

  test("a frozen app can be stopped", async () => {
    const { id, pod } = await bench.sandbox();
    const app = await bench.start(id, { does: "ignore-term" });
    await freeze(harness?.paths.rootId ?? "", `pod${pod.uid}/${app}`);
    await bench.driver.stopContainer(id, app, { graceMs: 50 }, signal);
    expect(await bench.container(id, app)).toMatchObject({ state: "exited", exitCode: 137 });
  });

  test("an unpinned network makes the sandbox not ready", async () => {
    const { id } = await bench.sandbox();
    await bench.start(id, { does: "run" });
    await exec("umount", ["--lazy", fileOf(id, "net")]);
    expect(await bench.find(id)).toMatchObject({ state: "not-ready", ips: [] });
  });

  test("a dead pause process makes the sandbox not ready", async () => {
    const { id } = await bench.sandbox({ shareProcessNamespace: true });
    const pause = Number(await readFile(fileOf(id, "pause", "pid"), "utf8"));
    process.kill(pause, "SIGKILL");
    await until("it is seen", async () => (await bench.find(id))?.state === "not-ready");
  });

  test("a damaged record belongs to nobody and can be removed", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "exit", code: 0 });
    await bench.exited(id, app);
    await writeFile(fileOf(id, "sandbox.json"), "{ torn");
    expect(await bench.find(id)).toMatchObject({ state: "not-ready", pod: { uid: "" } });
    const container = bench.containerConfig({ does: "run" });
    await expect(bench.driver.createContainer(id, container, signal)).rejects.toMatchObject({ code: "state-damaged" });
    await bench.driver.removeSandbox(id, signal);
    expect(await bench.find(id)).toBeUndefined();
    await bench.driver.collectGarbage(signal); // its cgroup, which only the record knew
  });

  test("a damaged record of a pod that runs: its processes end with it", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    const pid = (await bench.container(id, app))?.pid;
    await writeFile(fileOf(id, "sandbox.json"), "");
    await bench.driver.removeSandbox(id, signal);
    await bench.driver.collectGarbage(signal);
    expect(existsSync(`/proc/${pid}/exe`)).toBe(false);
  });

  test("after a reboot nothing of before runs, whoever has its pids now", async () => {
    const { id } = await bench.sandbox();
    const app = await bench.start(id, { does: "run" });
    const ended = await bench.start(id, { does: "exit", code: 3 });
    await bench.exited(id, ended);
    await bench.driver.stopContainer(id, app, { stopSignal: "SIGKILL", graceMs: 0 }, signal);
    await rm(join(harness?.paths.run ?? "", "exits", app));
    for (const file of [
      fileOf(id, "sandbox.json"),
      ...[app, ended].map((c) => fileOf(id, "containers", c, "container.json")),
    ]) {
      const record = JSON.parse(await readFile(file, "utf8"));
      const self = { pid: process.pid, startTicks: record.process?.startTicks ?? 0 };
      await rm(file);
      await writeFile(
        file,
        JSON.stringify({ ...record, bootId: "before", ...(record.process ? { process: self } : {}) }),
      );
    }
    expect(await bench.find(id)).toMatchObject({ state: "not-ready", ips: [] });
    expect(await bench.container(id, app)).toMatchObject({ state: "unknown" });
    expect(await bench.container(id, ended)).toMatchObject({ state: "exited", exitCode: 3 });
    await bench.driver.stopContainer(id, app, { graceMs: 0 }, signal);
    await bench.driver.removeSandbox(id, signal);
    expect(await bench.find(id)).toBeUndefined();
    // In a real reboot the kernel has removed it.
    await bench.driver.collectGarbage(signal);
  });

  test("what a crash left half made is garbage: directories, layers, exit codes, mounts, cgroups", async () => {
    const run = harness?.paths.run ?? "";
    const lib = harness?.paths.lib ?? "";
    await mkdir(fileOf(".half.new"), { recursive: true });
    await mkdir(join(lib, "sandboxes", "gone", "c", "upper"), { recursive: true });
    await writeFile(join(run, "exits", "gone-c"), "0");
    await mkdir(join("/sys/fs/cgroup/pids", `gantry-${harness?.paths.rootId}`, "podgone", "c"), { recursive: true });
    const said = await bench.driver.collectGarbage(signal);
    expect(said).toHaveLength(4);
    expect(await bench.driver.collectGarbage(signal)).toEqual([]);
  });

  test("garbage collection leaves alone what is being made meanwhile", async () => {
    let done = false;
    const collector = (async () => {
      while (!done) expect(await bench.driver.collectGarbage(signal)).toEqual([]);
    })();
    for (let i = 0; i < 4; i++) {
      const { id } = await bench.sandbox();
      const app = await bench.start(id, { does: "run" });
      expect(await bench.container(id, app)).toMatchObject({ state: "running" });
    }
    done = true;
    await collector;
  });

  test("mounts made on the host later show where propagation says so", async () => {
    const hostPath = await mkdtemp(join(tmpdir(), "gantry-volume-"));
    onTestFinished(async () => {
      await exec("umount", ["-R", "--lazy", hostPath], { okCodes: "any" });
      await rm(hostPath, { recursive: true });
    });
    await exec("mount", ["--bind", "--make-shared", hostPath, hostPath]);
    await mkdir(join(hostPath, "sub"));
    const volumes = [{ name: "data", kind: "hostPath" as const, hostPath }];
    const { id } = await bench.sandbox({ volumes });
    const mount = (mountPath: string, propagation: "None" | "HostToContainer" | "Bidirectional") => ({
      ...{ volume: "data", mountPath, readOnly: false, propagation },
    });
    const mounts = [mount("/none", "None"), mount("/slave", "HostToContainer"), mount("/both", "Bidirectional")];
    const security = bench.containerConfig({ does: "run" }).security;
    const app = await bench.start(id, { does: "run" }, { mounts, security: { ...security, privileged: true } });
    await exec("mount", ["-t", "tmpfs", "tmpfs", join(hostPath, "sub")]);
    await writeFile(join(hostPath, "sub", "file"), "");
    const { stdout } = await bench.exec(id, app, ["sh", "-c", "ls /none/sub /slave/sub /both/sub"]);
    expect(stdout).toBe("/both/sub:\nfile\n\n/none/sub:\n\n/slave/sub:\nfile\n");
    await exec("umount", [join(hostPath, "sub")]);
    await bench.exec(id, app, ["mount", "-t", "tmpfs", "x", "/both/sub"]);
    expect(await readFile("/proc/self/mountinfo", "utf8")).toContain(join(hostPath, "sub"));
    // On a private mount nothing would propagate, and nobody would know why.
    await exec("mount", ["--make-private", hostPath]);
    await expect(bench.start(id, { does: "run" }, { mounts: [mount("/x", "HostToContainer")] })).rejects.toMatchObject({
      code: "volume-failed",
      hint: expect.stringContaining("--make-rshared"),
    });
  });
});

async function isZombie(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z");
  return stat.slice(stat.lastIndexOf(")") + 2).startsWith("Z");
}

/** Freezes a container's cgroup, in v1 or v2. */
async function freeze(rootId: string, path: string): Promise<void> {
  const v1 = join("/sys/fs/cgroup/freezer", `gantry-${rootId}`, path);
  if (existsSync(v1)) await writeFile(join(v1, "freezer.state"), "FROZEN");
  else await writeFile(join("/sys/fs/cgroup", `gantry-${rootId}`, path, "cgroup.freeze"), "1");
}
