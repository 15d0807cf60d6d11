import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { detectCgroups } from "../../../src/sandbox/cgroup/host.ts";
import type { ObservedSandbox } from "../../../src/sandbox/driver.ts";
import { STANDBY } from "../../../src/sandbox/microvm/dirs.ts";
import { QEMU_MEMORY_MIB } from "../../../src/sandbox/microvm/jail/cgroup.ts";
import { qemusBelow } from "../../../src/sandbox/microvm/qemu/process.ts";
import { FIRST_VM_ID } from "../../../src/sandbox/vm-ids.ts";
import { until, useBench } from "../../contract/harness.ts";
import { type MicrovmHarness, microvmHarness } from "../../contract/microvm-harness.ts";

const MiB = 2 ** 20;

describe("micro-VMs on standby", () => {
  let own: MicrovmHarness | undefined;
  let made = 0;
  const write = (line: string): void => {
    if (line.includes('on standby"')) made++;
  };
  const log = pino({ level: "info" }, { write });
  const bench = useBench({ inside: true, hostKernel: false }, async () => {
    own = await microvmHarness({ standby: 1, log });
    return own;
  });
  const vms = (): string => {
    if (own === undefined) throw new Error("the harness is not set up");
    return join(own.paths.run, "vms");
  };
  const waiting = (): string[] => readdirSync(vms()).filter((name) => name.startsWith(STANDBY));
  const boot = (vm: ObservedSandbox): string => vm.detail["boot"]?.split(",")[0] ?? "";
  /** A pod starts, and after it a VM is put on standby for the next. */
  const oneWaits = async (): Promise<ObservedSandbox> => {
    const before = made;
    const vm = await bench.sandbox();
    await bench.start(vm.id, { does: "run" });
    await until("a VM is on standby", async () => made > before);
    return vm;
  };
  let first: ObservedSandbox;
  beforeEach(async () => {
    first = await oneWaits();
  });
  afterEach(async () => {
    // The driver's end takes it away; a test may have taken the driver's place.
    await bench.driver.close();
    expect(existsSync(vms()) ? waiting() : []).toEqual([]);
    bench.driver = await bench.harness.restart();
    await bench.driver.start(bench.signal);
  });

  test("is the next pod's, with its name, addresses, network, limits, and a jail as tight as a clone's", async () => {
    const [name = ""] = waiting();
    // Paused: it takes no processor time.
    const [qemu] = qemusBelow(join(vms(), name));
    const used = (): string => readFileSync(`/proc/${qemu?.pid}/stat`, "utf8").split(" ").slice(13, 15).join();
    expect(used()).toBe(used());
    // Of the same shape as the first: with another memory limit it would have another VM.
    const resources = { cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, cpuShares: 512 };
    const config = bench.sandboxConfig({ hostname: "handed-over", resources });
    const vm = await bench.driver.runSandbox(config, bench.signal);
    expect(boot(vm)).toBe("standby");
    expect(existsSync(join(vms(), name))).toBe(false);
    const app = await bench.start(vm.id, { does: "run" });
    const inside = async (script: string): Promise<string> =>
      (await bench.exec(vm.id, app, ["sh", "-c", script])).stdout.trim();
    expect(await inside("hostname; cat /etc/hostname")).toBe("handed-over\nhanded-over");
    const addresses = await inside("ip -4 -o address show | grep -v ' lo ' ; ip route");
    expect(addresses).toContain(vm.ips[0]);
    expect(addresses).not.toContain("192.0.2");
    expect(await inside("cat /etc/resolv.conf")).toContain("192.0.2.53");
    expect(Math.abs(Number(await inside("date +%s")) - Date.now() / 1000)).toBeLessThan(30);
    expect(await inside("ls /sys/fs/cgroup; ls -A /; ps | grep -c rehearsal")).not.toContain("rehearsal\n");
    // From pod to pod.
    const other = await bench.start(first.id, ["sh", "-c", "echo hello | nc -l -p 7000; sleep 1000000"]);
    expect(await bench.container(first.id, other)).toMatchObject({ state: "running" });
    await until("the other pod answers", async () => (await inside(`nc -w 2 ${first.ips[0]} 7000`)) === "hello");

    const pid = vm.detail["qemuPid"] ?? "";
    const proc = (path: string): string => `/proc/${pid}/${path}`;
    const status = readFileSync(proc("status"), "utf8");
    expect(Number(/^Uid:\s+(\d+)/m.exec(status)?.[1])).toBeGreaterThanOrEqual(FIRST_VM_ID);
    expect(status).toMatch(/^CapEff:\s+0+$/m);
    expect(status).toMatch(/^Seccomp:\s+2$/m);
    expect(readlinkSync(proc("ns/net"))).toBe(`net:[${statSync(vm.detail["netns"] ?? "").ino}]`);
    expect(existsSync(proc(`root${vms()}`))).toBe(false);
    expect(readFileSync(`/run/gantry-vm-ids/${vm.detail["uid"]}`, "utf8")).toBe(join(vms(), vm.id));
    const host = detectCgroups();
    const read = (controller: string, v1: string, v2: string): string =>
      readFileSync(
        join(host.controller(controller) ?? "", vm.detail["cgroup"] ?? "", host.unified ? v2 : v1),
        "utf8",
      ).trim();
    expect(read("memory", "cgroup.procs", "cgroup.procs").split("\n")).toContain(pid);
    expect(read("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("50000");
    const limit = (Number.parseInt(vm.detail["memory"] ?? "", 10) + QEMU_MEMORY_MIB) * MiB;
    expect(Number(read("memory", "memory.limit_in_bytes", "memory.max"))).toBe(limit);
  });

  test("pods that race for one: one gets it, the other a clone, and no two share random numbers", async () => {
    const both = await Promise.all([bench.sandbox(), bench.sandbox()]);
    expect(both.map(boot).sort()).toEqual(["clone", "standby"]);
    const vms = [first, ...both, await oneWaits()];
    const said = await Promise.all(
      vms.map(async ({ id }) => {
        const script = "head -c 64 /dev/urandom | od -An -tx1 | tr -d ' \\n'; echo; cat /proc/sys/kernel/random/uuid";
        const app = await bench.start(id, { does: "run" });
        const { stdout } = await bench.exec(id, app, ["sh", "-c", `${script}; grep -m1 '\\[stack\\]' /proc/self/maps`]);
        return stdout.trim().split("\n");
      }),
    );
    for (const line of [0, 1, 2]) expect(new Set(said.map((lines) => lines[line])).size).toBe(vms.length);
  });

  test("one whose QEMU was killed is nobody's: the next pod gets a clone", async () => {
    const [name = ""] = waiting();
    for (const { pid } of qemusBelow(join(vms(), name))) process.kill(pid, "SIGKILL");
    await until("it is gone", async () => qemusBelow(join(vms(), name)).length === 0);
    expect(boot(await bench.sandbox())).toBe("clone");
  });

  test("a handed-over VM that ends is seen, with its reason, and leaves nothing", async () => {
    const vm = await bench.sandbox();
    const app = await bench.start(vm.id, { does: "run" });
    process.kill(Number(vm.detail["qemuPid"]), "SIGKILL");
    const found = await until("it is not ready", async () => {
      const now = await bench.find(vm.id);
      return now?.state === "not-ready" ? now : undefined;
    });
    expect(JSON.stringify(found)).toMatch(/signal 9|killed/);
    expect(await bench.container(vm.id, app)).toMatchObject({ state: "exited", exitCode: 137 });
    await bench.driver.removeSandbox(vm.id, bench.signal);
    expect((await readdir(vms())).filter((name) => !name.startsWith("."))).not.toContain(vm.id);
  });
});
