import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { CreateRequest, GuestProcess } from "../../../../src/sandbox/microvm/protocol/index.ts";
import { parseStats, parseUsage } from "../../../../src/sandbox/microvm/protocol/index.ts";
import type { Client } from "./client.ts";
import { containerRequest } from "./container-request.ts";
import { Vm } from "./vm.ts";

const DEFAULT_CAPABILITIES = 0xa80425fbn;

function shell(script: string, changes: Partial<GuestProcess> = {}): GuestProcess {
  return {
    argv: ["sh", "-c", script],
    env: ["PATH=/bin"],
    cwd: "/",
    uid: 0,
    gid: 0,
    groups: [],
    capabilities: DEFAULT_CAPABILITIES,
    noNewPrivileges: false,
    ...changes,
  };
}

function container(name: string, process: GuestProcess, changes: Partial<CreateRequest> = {}): CreateRequest {
  return containerRequest(name, process, {
    maskedPaths: ["/proc/kcore", "/sys/firmware"],
    readOnlyPaths: ["/proc/sys"],
    cgroup: { "pids.max": "100" },
    terminationMessagePath: "/dev/termination-log",
    ...changes,
  });
}

/** What apps wrote that are behind CRI lines: those marked P go on in the next. */
function printed(log: string): string {
  return log.replaceAll(/^\S+ std(?:out|err) ([PF]) (.*\n?)/gm, (_, tag, text) =>
    tag === "P" ? text.replace("\n", "") : text,
  );
}

describe("a real micro-VM", () => {
  const vm = new Vm();
  let client: Client;
  beforeAll(async () => {
    client = await vm.boot();
    await client.request("configure", {
      wallClockNs: BigInt(Date.now()) * 1_000_000n,
      entropy: crypto.getRandomValues(new Uint8Array(64)),
      hostname: "web",
      network: {
        mac: "02:00:00:00:00:05",
        mtu: 1400,
        addresses: ["10.1.2.3/24", "fd00::5/64"],
        routes: [{ destination: "default", gateway: "10.1.2.1" }],
      },
      sysctls: { "net.ipv4.ip_unprivileged_port_start": "0" },
      scratchDisk: 1,
    });
  });
  afterAll(() => vm.stop());

  /** Runs to the end; its log is what it printed. */
  async function run(name: string, process: GuestProcess, changes: Partial<CreateRequest> = {}) {
    const before = vm.log(0).length;
    await client.request("create", container(name, process, changes));
    await client.request("start", { container: name });
    const exited = await client.exited(name);
    const lines = vm.log(0).slice(before).split("\n").filter(Boolean);
    const text = printed(vm.log(0).slice(before)).trimEnd();
    await client.request("remove", { container: name });
    return { exited, lines, text };
  }

  test("is configured as it was told", async () => {
    const { text } = await run(
      "c-net",
      shell("hostname; ip a; ip r; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; date +%Y"),
    );
    expect(text).toContain("web\n");
    expect(text).toContain("link/ether 02:00:00:00:00:05");
    expect(text).toContain("inet 10.1.2.3/24");
    expect(text).toContain("inet6 fd00::5/64");
    expect(text).toContain("default via 10.1.2.1");
    expect(text).toContain("mtu 1400");
    expect(text).toContain(`\n0\n${new Date().getFullYear()}`);
  });

  test("writes CRI lines, keeps exit code and termination message", async () => {
    const { exited, lines } = await run(
      "c-log",
      shell("echo out; echo err >&2; printf half; printf bye > /dev/termination-log; exit 7"),
    );
    expect(exited).toMatchObject({ "exit-code": 7, oom: false, message: "bye" });
    expect(lines.map((line) => line.slice(line.indexOf(" ") + 1)).sort()).toEqual([
      "stderr F err",
      "stdout F out",
      "stdout P half",
    ]);
    expect(lines[0]).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z /);
  });

  test("drops nothing of much output", async () => {
    const { text } = await run("c-much", shell("seq 1 30000"));
    expect(text.split("\n")).toEqual(Array.from({ length: 30_000 }, (_, n) => String(n + 1)));
  });

  test("runs as the user with the rights it was given", async () => {
    const script = "id; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status; ulimit -n; pwd; ls -d /work";
    const process = shell(script, { uid: 1000, gid: 1001, groups: [10, 20], cwd: "/work", noNewPrivileges: true });
    const { text } = await run("c-user", process, { rlimits: [{ name: "nofile", soft: 500, hard: 1000 }] });
    expect(text).toContain("uid=1000 gid=1001 groups=10,20");
    expect(text).toMatch(/CapPrm:\s0+\nCapEff:\s0+\nCapBnd:\s0+a80425fb\nNoNewPrivs:\s1\n500\n\/work\n/);
  });

  test("keeps apps in their container", async () => {
    const script = [
      "ps | wc -l",
      "touch /x 2>&1; touch /proc/sys/kernel/x 2>&1",
      "wc -c < /proc/kcore",
      "mknod /dev/vda b 254 0 && head -c1 /dev/vda 2>&1",
      "mount -t tmpfs x /tmp 2>&1",
      "ls /run/gantry /modules 2>&1",
    ].join("; ");
    const { text } = await run("c-jail", shell(script), { readOnlyRoot: true });
    expect(text).toContain("touch: /x: Read-only file system");
    expect(text).toMatch(/vda: (Operation not permitted|Permission denied)/);
    expect(text).toContain("mount: permission denied");
    expect(text).toContain("ls: /run/gantry: No such file");
    expect(text).toMatch(/^[2-5]\n/);
  });

  test("says why a command cannot run", async () => {
    await client.request("create", container("c-none", { ...shell(""), argv: ["/no/such"] }));
    await expect(client.request("start", { container: "c-none" })).rejects.toMatchObject({
      errno: 2,
      message: expect.stringContaining('"/no/such"'),
    });
    expect(await client.exited("c-none")).toMatchObject({ "exit-code": 128 });
    await client.request("remove", { container: "c-none" });
    const bad = container("c-bad", shell(""), { mounts: [{ target: "/x", volume: "nothing", readOnly: true }] });
    await expect(client.request("create", bad)).rejects.toMatchObject({ message: expect.stringContaining("nothing") });
    // What is left of it goes a moment after the answer.
    await vi.waitFor(async () => expect((await client.list()).map((each) => each.container)).not.toContain("c-bad"));
  });

  test("kills what uses too much memory and says so", async () => {
    const { exited } = await run("c-oom", shell("dd if=/dev/zero of=/dev/null bs=64M count=1; echo done"), {
      cgroup: { "memory.max": String(16 << 20), "memory.swap.max": "0" },
    });
    expect(exited).toMatchObject({ "exit-code": 137, oom: true });
    expect(client.events).toContainEqual({ type: "eventOom", container: "c-oom" });
  });

  test("swaps pushed files at once, under a running container", async () => {
    const push = async (files: Readonly<Record<string, string>>): Promise<void> => {
      const id = client.newId();
      await client.request("pushBegin", { volume: "config", atomic: true }, id);
      for (const [path, text] of Object.entries(files)) {
        client.tell("pushFile", { path, mode: 0o440, gid: 1000 }, id);
        client.data("pushData", id, text);
      }
      await client.request("pushCommit", null, id);
    };
    await client.request("volume", { name: "config", source: { type: "files" } });
    await push({ "a.txt": "one", "dir/b.txt": "two" });
    const script =
      "cat /config/a.txt /config/dir/b.txt /sub; ls -l /config/..data/a.txt; while [ -e /config/a.txt ]; do sleep 0.05; done; cat /config/c.txt /sub; ls /config";
    const mounts = [
      { target: "/config", volume: "config", readOnly: true },
      { target: "/sub", volume: "config", path: "a.txt", readOnly: true },
    ];
    const before = vm.log(0).length;
    await client.request("create", container("c-push", shell(script), { mounts }));
    await client.request("start", { container: "c-push" });
    while (!vm.log(0).slice(before).includes("a.txt")) await new Promise((resolve) => setTimeout(resolve, 5));
    await push({ "c.txt": "three" });
    await client.exited("c-push");
    const text = printed(vm.log(0).slice(before));
    expect(text).toMatch(/onetwoone-r--r-----.*1000.*\nthreeonec\.txt\n/);
    await client.request("remove", { container: "c-push" });
    const id = client.newId();
    await client.request("pushBegin", { volume: "config", atomic: true }, id);
    await expect(client.request("pushFile", { path: "../escape", mode: 0o644 }, id)).rejects.toMatchObject({
      code: "invalid",
    });
  });

  test("bounds what apps may write to the scratch disk", async () => {
    await client.request("volume", { name: "small", source: { type: "scratch", sizeBytes: 3 << 20 }, mode: 0o777 });
    const mounts = [{ target: "/small", volume: "small", readOnly: false }];
    const write = (file: string): string =>
      `dd if=/dev/zero of=${file} bs=64k count=5000 2>&1 | grep dd:; stat -c %s ${file}; rm ${file}`;
    const disk = await run("c-disk", shell(`${write("/small/x")}; ${write("/big")}; ${write("/small/x")}`), { mounts });
    const [first, quota = "", full, size = "", again] = disk.text.split("\n");
    expect([first, full, again].join()).toMatch(/quota exceeded.*No space left.*quota exceeded/);
    expect(Number(quota)).toBeLessThanOrEqual(3 << 20);
    expect(Number(size)).toBeGreaterThan(60 << 20);
    const usage = async () => parseUsage((await client.request("usage", null)).fields, "bytes");
    expect([...(await usage()).volumes.keys()]).toContain("small");
    const before = (await usage()).volumes.get("small") ?? 0;
    await run("c-usage", shell("dd if=/dev/zero of=/small/y bs=64k count=32"), { mounts });
    expect((await usage()).volumes.get("small")).toBe(before + (2 << 20));
  });

  test("shares volumes and a pid namespace between containers", async () => {
    await client.request("volume", { name: "shared", source: { type: "scratch" }, mode: 0o777 });
    const mounts = [{ target: "/data", volume: "shared", readOnly: false }];
    await client.request(
      "create",
      container("c-one", shell("echo here > /data/f; exec sleep 1000"), {
        mounts,
        sharePidNamespace: true,
        logPort: 1,
      }),
    );
    await client.request("start", { container: "c-one" });
    const script =
      "until [ -s /data/f ]; do sleep 0.05; done; cat /data/f; ps | grep -c 'sleep 1000'; touch /data/x 2>&1; kill $(ps | grep 'sleep 1000' | grep -v grep | head -n1 | awk '{print $1}') ; echo $?";
    const other = await run("c-two", shell(script.replace("awk '{print $1}'", "while read p r; do echo $p; done")), {
      mounts: [{ ...mounts[0], readOnly: true } as (typeof mounts)[0]],
      sharePidNamespace: true,
    });
    expect(other.text).toMatch(/^here\n\d+\ntouch: \/data\/x: Read-only file system\n0$/);
    expect(await client.exited("c-one")).toMatchObject({ "exit-code": 143 });
    await client.request("remove", { container: "c-one" });
  });

  test("executes commands, with and without a terminal", async () => {
    await client.request(
      "create",
      container("c-exec", shell("trap 'exit 3' TERM; while :; do sleep 0.1; done"), { logPort: 1 }),
    );
    await client.request("start", { container: "c-exec" });
    const exec = async (process: GuestProcess, changes: { tty?: boolean; stdin?: boolean } = {}): Promise<number> => {
      const id = client.newId();
      const size = { columns: 100, rows: 40, credit: 100_000 };
      await client.request("exec", { container: "c-exec", process, tty: false, stdin: false, ...size, ...changes }, id);
      return id;
    };
    expect(await client.ended(await exec(shell("echo a; echo b >&2; exit 5")))).toEqual({
      stdout: "a\n",
      stderr: "b\n",
      exitCode: 5,
    });

    const cat = await exec(shell("cat; echo end"), { stdin: true });
    client.data("execStdin", cat, "hello ");
    client.data("execStdin", cat, "world\n", true);
    expect(await client.ended(cat)).toMatchObject({ stdout: "hello world\nend\n", exitCode: 0 });

    const terminal = await exec(shell("tty; stty size; read x; echo got $x"), { tty: true, stdin: true });
    client.data("execStdin", terminal, "line\n");
    const typed = await client.ended(terminal);
    expect(typed.stdout).toMatch(/40 100\r\n/);
    expect(typed.stdout).toMatch(/got line\r\n$/);

    await expect(exec({ ...shell(""), argv: ["nothing"] })).rejects.toMatchObject({ errno: 2 });
    const ids = parseStats((await client.request("stats", null)).fields);
    expect(ids.map((each) => each.container)).toEqual(["c-exec"]);

    await client.request("signal", { container: "c-exec", signal: 15 });
    expect(await client.exited("c-exec")).toMatchObject({ "exit-code": 3 });
    await client.request("remove", { container: "c-exec" });
  });

  test("sends no more output than it may", async () => {
    await client.request("create", container("c-flow", shell("sleep 1000"), { logPort: 1 }));
    await client.request("start", { container: "c-flow" });
    const id = client.newId();
    await client.request(
      "exec",
      { container: "c-flow", process: shell("seq 1 100000"), tty: false, stdin: false, credit: 1000 },
      id,
    );
    await client.until(() => (client.output(id, false).length >= 1000 ? true : undefined));
    await client.request("ping", null);
    expect(client.output(id, false)).toHaveLength(1000);
    client.tell("execCredit", { bytes: 1_000_000 }, id);
    const { stdout, exitCode } = await client.ended(id);
    expect(exitCode).toBe(0);
    expect(stdout).toBe(Array.from({ length: 100_000 }, (_, n) => `${n + 1}\n`).join(""));
  });

  test("knows everything after the host went and came back", async () => {
    client.close();
    client = await vm.connect();
    expect((await client.hello()).fields).toContainEqual(["configured", "1"]);
    expect(await client.list()).toEqual([expect.objectContaining({ container: "c-flow", state: "running" })]);
    await client.request("log", { container: "c-flow", logPort: 2 });
    await client.request("kill", { container: "c-flow" });
    expect(await client.exited("c-flow")).toMatchObject({ "exit-code": 137, "log-port": 2 });
  });

  test("lives on when apps have filled its memory", async () => {
    const mounts = ["memory", "more"].map((volume) => ({ target: `/${volume}`, volume, readOnly: false }));
    for (const { volume } of mounts) {
      await client.request("volume", { name: volume, source: { type: "tmpfs" }, mode: 0o777 });
    }
    const fill = shell("for f in /memory/x /more/x /dev/shm/x; do dd if=/dev/zero of=$f bs=64k count=5000; done");
    const { exited } = await run("c-memory", fill, { mounts });
    expect(exited).toMatchObject({ "exit-code": 137, oom: true });
    // What fills the memory stays: the next one may find room for itself, or be killed too. It does not hang.
    const after = await run("c-after", shell("echo here"), { mounts });
    expect([0, 137]).toContain(after.exited["exit-code"]);
    await client.request("ping", null);
  });

  test("powers off", async () => {
    await client.request("shutdown", null);
    expect(await vm.ended()).toBe(0);
    expect(vm.console()).not.toContain("gantry:");
  });
});
