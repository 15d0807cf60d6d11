import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ensureJailer } from "../../../../src/sandbox/microvm/boot/jailer.ts";
import { passFile } from "../../../../src/sandbox/microvm/jail/pass.ts";
import { until } from "../../../contract/harness.ts";
import { BOOT_CACHE } from "../../../support/boot-cache.ts";

/** The jailer with a shell in QEMU's place: what that has, and what becomes of what it writes. */
describe("the jailer", () => {
  const uid = 0x7fff_0001;
  const view = [
    ...["/usr", "/lib", "/lib64", "/bin"].flatMap((path) => ["--ro", path, path]),
    ...["--dev", "/dev/null", "/dev/null"],
  ];
  let directory = "";
  let running: ChildProcess | undefined;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "gantry-jail-"));
  });
  afterEach(async () => {
    if (running !== undefined && running.exitCode === null && running.signalCode === null) {
      running.kill("SIGKILL");
      await once(running, "exit");
    }
    rmSync(directory, { recursive: true, force: true });
  });

  const start = async (script: string, options: readonly string[] = view): Promise<ChildProcess> => {
    const { path } = await ensureJailer({ cacheDir: BOOT_CACHE });
    const args = ["--tap", "tap0", "--uid", String(uid), "--pass", "0", ...options, "--", "/bin/bash", "-c", script];
    running = spawn(path, args, { cwd: directory, stdio: ["ignore", "ignore", "pipe"], detached: true });
    return running;
  };
  const run = async (script: string, options?: readonly string[]): Promise<{ code: number | null; said: string }> => {
    const child = await start(script, options);
    const [code] = (await once(child, "exit")) as [number | null];
    return { code, said: file("qemu.log") };
  };
  const file = (name: string): string => {
    const path = join(directory, name);
    return existsSync(path) ? readFileSync(path, "utf8") : "";
  };

  test("its child has no rights, no environment, a file system without a writable place, and lowered limits", async () => {
    const script = "id -u; id -G; env; echo $$; ls /; touch /x /usr/x; ulimit -c -n -l; exit 7";
    const { code, said } = await run(script);
    expect(code).toBe(7);
    const lines = said.split("\n");
    expect(lines.slice(0, 2)).toEqual([String(uid), String(uid)]);
    expect(lines.filter((line) => /^[A-Z_]+=/.test(line) && !/^(PWD|OLDPWD|SHLVL|_)=/.test(line))).toEqual([]); // the shell's own
    expect(said).toContain("\n1\nbin\ndev\nlib\nlib64\nusr\n");
    expect(said).toContain("cannot touch '/x': Read-only file system");
    expect(said).toContain("cannot touch '/usr/x': Read-only file system");
    expect(readFileSync(join(directory, "qemu.pid"), "utf8")).toMatch(/^\d+\n$/);
  });

  test("a device of its own is its alone; there is no other that it could use", async () => {
    const script = "stat -c '%u %g %a' /dev/zero; head -c 3 /dev/zero | wc -c; ls /dev; mknod /dev/sda b 8 0";
    const { said } = await run(script, [...view, "--node", "/dev/zero", "/dev/zero"]);
    expect(said).toContain(`${uid} ${uid} 600\n3\nnull\nzero\n`);
    expect(said).toMatch(/mknod: .*(Operation not permitted|Read-only file system)/);
  });

  test("only the descriptors that QEMU is to have are open", async () => {
    const { said } = await run("for n in {0..60}; do (true >&$n) 2>/dev/null && echo $n; done");
    expect(said.trim().split("\n").map(Number)).toEqual([0, 1, 2, 20, 21, 22, 23, 24]);
  });

  test("what a guest or QEMU prints without end is kept in files that stay small, down to the last line", async () => {
    const script =
      "i=0; while [ $i -lt 20000 ]; do echo said-$i-0123456789; echo console-$i-0123456789 >&23; i=$((i+1)); done";
    await run(script);
    for (const [name, what] of [
      ["qemu.log", "said"],
      ["console.log", "console"],
    ] as const) {
      expect(statSync(join(directory, name)).size).toBeLessThanOrEqual(65_536);
      const lines = file(name).trimEnd().split("\n");
      expect(lines.length).toBeGreaterThan(500);
      expect(lines.at(-1)).toBe(`${what}-19999-0123456789`);
      const numbers = lines.slice(1).map((line) => Number(line.split("-")[1]));
      expect(numbers).toEqual(numbers.map((_, n) => (numbers[0] ?? 0) + n));
    }
  });

  test("a violent end is noted, and the jailer's own end takes the child along", async () => {
    const child = await start("echo here; exec sleep 1000");
    const pid = await until("it runs", async () => file("qemu.log").includes("here") && Number(file("qemu.pid")));
    process.kill(pid, "SIGKILL");
    expect(await once(child, "exit")).toEqual([137, null]);
    expect(file("qemu.log")).toContain("QEMU was killed by signal 9 (Killed)");

    const other = await start("echo again; exec sleep 1000");
    const its = await until("it runs", async () => file("qemu.log").includes("again") && Number(file("qemu.pid")));
    other.kill("SIGKILL");
    await until("it is gone", async () => !isAlive(its));
  });

  test.each([
    [["--ro", "/no/such/file", "/x"], "cannot find /no/such/file: No such file or directory"],
    [["--netns", "/no/such/netns"], "cannot open /no/such/netns"],
    [["--tasks", "/no/such/cgroup/tasks"], "cannot write to /no/such/cgroup/tasks"],
    [["--surprise"], "cannot understand --surprise"],
    [["--uid", "0"], "cannot understand what to do"],
    [["--uid", "x"], "not a number: x"],
  ])("%j is a clear error", async (options, message) => {
    const child = await start("true", options);
    let text = "";
    child.stderr?.on("data", (chunk: Buffer) => {
      text += chunk.toString();
    });
    const [code] = (await once(child, "close")) as [number];
    expect(code).toBe(125);
    expect(text + file("qemu.log")).toContain(message);
  });

  test("files are passed on one after the other; what cannot be opened is said; a QEMU that lies or is silent does no harm", async () => {
    const qmp = [
      `echo '{"QMP": {}}' >&22; read -r line <&22; echo "$line"; echo '{"return": {}}' >&22`,
      `read -r line <&22; echo "$line"; echo '{"timestamp": 1}' >&22; echo '{"return": {}}' >&22`,
      `read -r line <&22; head -c 200000 /dev/zero >&22; echo >&22; echo '{"error": {}}' >&22`,
      "exec sleep 1000",
    ].join("; ");
    await start(qmp, [...view, "--dev", "/dev/zero", "/dev/zero"]);
    const socket = join(directory, "jailer.sock");
    const log = join(directory, "app.log");
    await passFile(socket, { set: 201, mode: "append", path: log });
    expect(statSync(log).size).toBe(0);
    expect(file("qemu.log")).toContain(`{"execute":"add-fd","arguments":{"fdset-id":201}}`);
    const image = { set: 101, mode: "read", path: "/etc/hostname" } as const;
    await expect(passFile(socket, { ...image, path: "/no/such" })).rejects.toThrow(/No such file or directory/);
    await expect(passFile(socket, { ...image, path: "/a\nb" })).rejects.toThrow(/line break/);
    await expect(passFile(socket, image)).rejects.toThrow(/QEMU does not take it/);
  });
});

function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}
