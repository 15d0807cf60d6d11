import { constants, existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { detectCgroups } from "../../../src/sandbox/cgroup/host.ts";
import type { ObservedSandbox } from "../../../src/sandbox/driver.ts";
import { QEMU_MEMORY_MIB } from "../../../src/sandbox/microvm/jail/cgroup.ts";
import { FIRST_VM_ID } from "../../../src/sandbox/vm-ids.ts";
import { exec } from "../../../src/system/exec.ts";
import { until, useBench } from "../../contract/harness.ts";
import { type MicrovmHarness, microvmHarness } from "../../contract/microvm-harness.ts";

const IDS = "/run/gantry-vm-ids";
const MiB = 2 ** 20;

describe("what a micro-VM's QEMU can do on the host", () => {
  let own: MicrovmHarness | undefined;
  const bench = useBench({ inside: true, hostKernel: false }, async () => {
    own = await microvmHarness();
    return own;
  });
  const paths = (): MicrovmHarness["paths"] => {
    if (own === undefined) throw new Error("the harness is not set up");
    return own.paths;
  };
  const pidOf = (sandbox: ObservedSandbox): string => sandbox.detail["qemuPid"] ?? "";
  const uidOf = (sandbox: ObservedSandbox): number => Number(sandbox.detail["uid"]);
  const proc = (sandbox: ObservedSandbox, name: string): string => `/proc/${pidOf(sandbox)}/${name}`;
  const status = (sandbox: ObservedSandbox): Map<string, string> =>
    new Map(
      readFileSync(proc(sandbox, "status"), "utf8")
        .trim()
        .split("\n")
        .map((line) => [line.split(":")[0] ?? "", line.slice(line.indexOf(":") + 1).trim()]),
    );

  test("a user id that nobody else has, no capability, no new privileges, seccomp, no environment, low limits", async () => {
    const vm = await bench.sandbox();
    expect(vm.detail["boot"]).toMatch(/^clone/);
    const facts = status(vm);
    const uid = uidOf(vm);
    expect(uid).toBeGreaterThanOrEqual(FIRST_VM_ID);
    for (const name of ["Uid", "Gid"]) expect(facts.get(name)?.split(/\s+/)).toEqual(Array(4).fill(String(uid)));
    expect(facts.get("Groups")).toBe("");
    for (const set of ["Inh", "Prm", "Eff", "Bnd", "Amb"]) expect(facts.get(`Cap${set}`)).toMatch(/^0+$/);
    expect(facts.get("NoNewPrivs")).toBe("1");
    expect(facts.get("Seccomp")).toBe("2");
    expect(readFileSync(proc(vm, "environ"), "utf8")).toBe("");
    const limits = readFileSync(proc(vm, "limits"), "utf8");
    expect(limits).toMatch(/^Max core file size +0 +0 /m);
    expect(limits).toMatch(/^Max open files +256 +256 /m);
    expect(limits).toMatch(/^Max processes +256 +256 /m);
    expect(limits).toMatch(/^Max locked memory +0 +0 /m);
  });

  test("namespaces of its own, the pod's network, process 1 of its tree", async () => {
    const vm = await bench.sandbox();
    for (const name of ["mnt", "pid", "ipc", "uts", "net"]) {
      expect(readlinkSync(proc(vm, `ns/${name}`))).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
    }
    expect(readlinkSync(proc(vm, "ns/net"))).toBe(`net:[${statSync(vm.detail["netns"] ?? "").ino}]`);
    expect(status(vm).get("NSpid")?.split(/\s+/)).toEqual([pidOf(vm), "1"]);
  });

  test("of the host's files it sees libraries and firmware, and nothing it could write to", async () => {
    const vm = await bench.sandbox();
    const other = await bench.sandbox();
    const app = await bench.start(vm.id, { does: "run" });
    const root = proc(vm, "root");
    const names = "dev empty-disk etc initramfs kernel lib lib64 memory readonly-memory.so usr".split(" ");
    expect(readdirSync(root).sort()).toEqual(names);
    expect(readdirSync(join(root, "dev"))).toEqual(["null"]);
    expect(readdirSync(join(root, "etc")).sort()).toEqual(["ld.so.cache", "ld.so.preload"]);
    expect(readdirSync(join(root, "usr/bin"))).toEqual(["qemu-system-x86_64"]);
    const elsewhere = ["/bin/sh", "/proc", "/sys", "/run", "/tmp", "/var", "/etc/passwd", "/dev/net/tun", "/dev/kvm"];
    const gantrys = [paths().run, paths().lib, paths().images, paths().podLogs, paths().socket];
    const others = [join(paths().run, "vms", other.id), join(paths().run, "vms", vm.id)];
    for (const path of [...elsewhere, ...gantrys, ...others]) expect(existsSync(root + path), path).toBe(false);

    const mounts = readFileSync(proc(vm, "mountinfo"), "utf8").trim().split("\n");
    expect(mounts.length).toBeLessThan(20);
    for (const line of mounts) {
      const [, , , , at = "", options = ""] = line.split(" ");
      expect(options.split(","), line).toEqual(expect.arrayContaining(["ro", "nosuid"]));
      if (at !== "/dev/null") expect(options.split(","), line).toContain("nodev");
    }
    // Not even root could change there what other VMs are cloned from, and QEMU has it open for reading only.
    await expect(open(join(root, "memory"), constants.O_RDWR)).rejects.toMatchObject({ code: "EROFS" });
    expect(await bench.container(vm.id, app)).toMatchObject({ state: "running" });
  });

  test("its descriptors are its disks, its logs, its sockets and its tap, and no other", async () => {
    const vm = await bench.sandbox();
    const config = bench.containerConfig({ does: "run" });
    await bench.driver.createContainer(vm.id, config, bench.signal);
    const harmless = /^(\/dev\/null|(\/dev)?\/net\/tun|\/empty-disk|(pipe|socket|anon_inode):.*)$/;
    const files = readdirSync(proc(vm, "fd"))
      .map((fd) => ({ path: readlinkSync(proc(vm, `fd/${fd}`)), info: readFileSync(proc(vm, `fdinfo/${fd}`), "utf8") }))
      .filter(({ path }) => !harmless.test(path))
      .map(({ path, info }) => ({ path, flags: Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? "", 8) }));
    const access = (path: string): number[] => files.filter((file) => file.path === path).map(({ flags }) => flags & 3);
    expect(access("/memory")).toEqual([constants.O_RDONLY]);
    expect(access(config.logPath)).toEqual([constants.O_WRONLY]);
    // The scratch disk has no name any more: nobody else can open it, and it is gone with its VM.
    const scratch = `${paths().lib}/scratch/${vm.id}.ext4 (deleted)`;
    expect(new Set(access(scratch))).toEqual(new Set([constants.O_RDWR]));
    const known = ["/memory", config.logPath, scratch];
    const rest = files.filter(({ path }) => !known.includes(path));
    for (const { path, flags } of rest) {
      expect(path.startsWith(paths().images) || path.startsWith("/dev/shm/gantry-templates"), path).toBe(true);
      expect(flags & 3).toBe(constants.O_RDONLY);
    }
    expect(rest.filter(({ path }) => path.startsWith(paths().images))).toHaveLength(1);
  });

  test("a cgroup with the pod's limits and what QEMU itself needs; a guest that takes all its memory is no end of it", async () => {
    const resources = { memoryLimitBytes: 64 * MiB, cpuQuotaUs: 50_000, cpuPeriodUs: 100_000, cpuShares: 512 };
    const vm = await bench.sandbox({ resources });
    const host = detectCgroups();
    const read = (controller: string, v1: string, v2: string): string => {
      const directory = join(host.controller(controller) ?? "", vm.detail["cgroup"] ?? "");
      return readFileSync(join(directory, host.unified ? v2 : v1), "utf8").trim();
    };
    for (const controller of ["memory", "cpu", "pids"]) {
      expect(read(controller, "cgroup.procs", "cgroup.procs").split("\n")).toContain(pidOf(vm));
    }
    const limit = (Number.parseInt(vm.detail["memory"] ?? "", 10) + QEMU_MEMORY_MIB) * MiB;
    expect(Number(read("memory", "memory.limit_in_bytes", "memory.max"))).toBe(limit);
    expect(read("cpu", "cpu.cfs_quota_us", "cpu.max").split(" ")[0]).toBe("50000");
    expect(Number(read("pids", "pids.max", "pids.max"))).toBeLessThan(1000);
    const app = await bench.start(vm.id, { does: "run" });
    await bench.exec(vm.id, app, ["sh", "-c", "dd if=/dev/zero of=/dev/shm/x bs=1M count=500; rm /dev/shm/x"]);
    expect(await bench.find(vm.id)).toMatchObject({ state: "ready" });
    expect(read("memory", "memory.oom_control", "memory.events")).toMatch(/^oom_kill 0$/m);
  });

  test("two VMs have different ids; one cannot read what is the other's; ids are free again afterwards", async () => {
    const [a, b] = [await bench.sandbox(), await bench.sandbox()];
    const ids = [uidOf(a), uidOf(b)];
    expect(new Set(ids).size).toBe(2);
    for (const id of ids) expect(existsSync(join(IDS, String(id)))).toBe(true);
    const directory = join(paths().run, "vms", b.id);
    const secret = join(paths().lib, "secret");
    await mkdir(paths().lib, { recursive: true });
    await writeFile(secret, "x", { mode: 0o600 });
    const asA = ["--reuid", String(ids[0]), "--regid", String(ids[0]), "--clear-groups", "--no-new-privs"];
    for (const path of [join(directory, "sandbox.json"), join(directory, "console.log"), secret, proc(b, "mem")]) {
      await expect(exec("setpriv", [...asA, "cat", path]), path).rejects.toThrow(/Permission denied/);
    }
    for (const name of ["qmp.sock", "agent.sock", "jailer.sock"]) {
      await expect(
        exec("setpriv", [...asA, "socat", "-u", `UNIX-CONNECT:${join(directory, name)}`, "-"]),
      ).rejects.toThrow(/Permission denied/);
    }
    for (const vm of [a, b]) await bench.driver.removeSandbox(vm.id, bench.signal);
    const owned = ids.filter((id) => readOr(join(IDS, String(id))).startsWith(paths().run));
    expect(owned).toEqual([]);
  });

  test("without its jailer QEMU does not live on, and nothing of either stays", async () => {
    const vm = await bench.sandbox();
    const jailer = status(vm).get("PPid") ?? "";
    expect(readFileSync(`/proc/${jailer}/comm`, "utf8")).toMatch(/^jailer/);
    // CAP_DAC_OVERRIDE and CAP_KILL
    expect(readFileSync(`/proc/${jailer}/status`, "utf8")).toMatch(/^CapEff:\s+0+22$/m);
    process.kill(Number(jailer), "SIGKILL");
    await until("it is not ready", async () => (await bench.find(vm.id))?.state === "not-ready");
  });
});

describe("what a guest can reach", () => {
  let own: MicrovmHarness | undefined;
  const bench = useBench({ inside: true, hostKernel: false }, async () => {
    own = await microvmHarness();
    return own;
  });

  test("neither the host's API nor a cloud's metadata, but a DNS server at the same address", async () => {
    const vm = await bench.sandbox();
    const app = await bench.start(vm.id, { does: "run" }, { security: withRawSockets });
    const ask = (host: string, port: number): Promise<{ code: number; stdout: string }> =>
      bench.exec(vm.id, app, ["sh", "-c", `echo GET / | nc -w 2 ${host} ${port}`]);
    const { stdout: route } = await bench.exec(vm.id, app, ["ip", "route"]);
    const gateway = /default via (\S+)/.exec(route)?.[1] ?? "";
    const { stdout } = await exec("ip", ["-j", "route", "get", vm.ips[0] ?? ""]);
    const bridge = String((JSON.parse(stdout) as { dev?: string }[])[0]?.dev);
    const address = ["169.254.169.254/32", "dev", bridge];
    await exec("ip", ["address", "add", ...address]);
    const open: Server[] = [];
    try {
      const api = await listening("127.0.0.1", 0, open); // as the API's own: on the host's loopback
      const metadata = await listening("169.254.169.254", 80, open);
      const dns = await listening("169.254.169.254", 53, open);
      const outside = await listening(gateway, 0, open);
      expect(await ask(gateway, outside)).toMatchObject({ stdout: expect.stringContaining("hello") });
      expect(await ask("169.254.169.254", dns)).toMatchObject({ stdout: expect.stringContaining("hello") });
      for (const [host, port] of [
        ["169.254.169.254", metadata],
        ["127.0.0.1", api],
        [gateway, api],
      ] as const) {
        expect(await ask(host, port), `${host}:${port}`).toMatchObject({ stdout: "" });
      }
    } finally {
      for (const server of open) server.close();
      await exec("ip", ["address", "del", ...address]);
    }
    const socket = own?.paths.socket ?? "";
    expect(await bench.exec(vm.id, app, ["ls", socket])).toMatchObject({ code: 1 });
  });

  test("no disk but those with its own images", async () => {
    const vm = await bench.sandbox();
    const neighbour = await bench.sandbox();
    await bench.start(neighbour.id, { does: "run" });
    const app = await bench.start(vm.id, { does: "run" });
    const script = [
      'while read -r major minor size name; do [ -n "$size" ] && [ "$major" -gt 0 ] 2>/dev/null || continue',
      'mknod "/tmp/$name" b "$major" "$minor" 2>/dev/null',
      'echo "$name $(dd if="/tmp/$name" bs=1024 skip=1 count=1 2>/dev/null | od -An -tx4 -N4)"; done < /proc/partitions',
    ].join("\n");
    const { stdout } = await bench.exec(vm.id, app, ["sh", "-c", script]);
    const disks = stdout
      .trim()
      .split("\n")
      .map((line) => line.trim().split(/\s+/));
    expect(disks.length).toBeGreaterThanOrEqual(8);
    // A superblock of EROFS, see the kernel's erofs_fs.h: on one of them at most, where devices may be opened at all.
    expect(disks.filter(([, magic]) => magic === "e0f5e1e2").length).toBeLessThanOrEqual(1);
    expect(disks.filter(([, magic]) => magic !== undefined && !["e0f5e1e2", "00000000"].includes(magic))).toEqual([]);
  });
});

const withRawSockets = {
  privileged: false,
  noNewPrivileges: true,
  readOnlyRootFilesystem: false,
  capabilities: { add: ["NET_ADMIN", "NET_RAW"], drop: [] },
  seccomp: { type: "RuntimeDefault" },
} as const;

function readOr(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** A server that says hello. */
async function listening(host: string, port: number, open: Server[]): Promise<number> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    socket.end("hello\n");
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  open.push(server);
  const address = server.address();
  return typeof address === "object" && address !== null ? address.port : port;
}
