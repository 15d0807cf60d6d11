import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { weightOfShares } from "../../../src/sandbox/cgroup/cgroup.ts";
import { splitDeviceNumber } from "../../../src/sandbox/namespace/devices.ts";
import { hostNetworkHostsFile, hostsFile, resolvConf } from "../../../src/sandbox/namespace/etc-files.ts";
import { readTail } from "../../../src/sandbox/namespace/files.ts";
import { createGate, keyedLock } from "../../../src/sandbox/namespace/locks.ts";
import { mountTable } from "../../../src/sandbox/namespace/mounts.ts";
import { resolveInRoot } from "../../../src/sandbox/namespace/root-path.ts";
import { cleanRuntimeMessage, runtimeError } from "../../../src/sandbox/namespace/runtime-errors.ts";
import { parseGroup, parsePasswd, pickUser } from "../../../src/sandbox/namespace/users.ts";
import { signalNumber } from "../../../src/sandbox/signals.ts";

async function directory(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "gantry-parts-"));
  onTestFinished(() => rm(path, { recursive: true, force: true }));
  return path;
}

test("paths in an image never lead out of it", async () => {
  const root = await directory();
  await mkdir(join(root, "etc"));
  await symlink("/etc/real", join(root, "etc/absolute"));
  await symlink("../../../../etc/shadow", join(root, "etc/up"));
  await symlink("loop", join(root, "loop"));
  await symlink("/etc", join(root, "link"));
  expect(await resolveInRoot(root, "/etc/absolute")).toBe(join(root, "etc/real"));
  expect(await resolveInRoot(root, "/etc/up")).toBe(join(root, "etc/shadow"));
  expect(await resolveInRoot(root, "link/../link/up")).toBe(join(root, "etc/shadow"));
  expect(await resolveInRoot(root, "/loop/x")).toBeUndefined();
});

test("the tail of a file, of nothing but a file", async () => {
  const root = await directory();
  await writeFile(join(root, "file"), "0123456789");
  await symlink("file", join(root, "link"));
  expect(await readTail(join(root, "file"), 4)).toBe("6789");
  expect(await readTail(join(root, "file"), 40)).toBe("0123456789");
  expect(await readTail(join(root, "link"), 4)).toBeUndefined();
  expect(await readTail(root, 4)).toBeUndefined();
  expect(await readTail(join(root, "nothing"), 4)).toBeUndefined();
});

describe("users", () => {
  const passwd = parsePasswd("root:x:0:0::/root:/bin/sh\n# no entry\napp:x:1000:1001::/home/app:\nbad:x:y:1::\n");
  const group = parseGroup("root:x:0:\nstaff:x:50:app,other\nnumeric:x:60:\n");
  const pick = (user: object) => pickUser({ supplementalGroups: [], ...user }, passwd, group);

  test.each([
    [{}, { uid: 0, gid: 0, additionalGids: [0] }, "/root"],
    [{ name: "app" }, { uid: 1000, gid: 1001, additionalGids: [1001, 50] }, "/home/app"],
    [{ name: "1000" }, { uid: 1000, gid: 1001, additionalGids: [1001, 50] }, "/home/app"],
    [{ name: "app:staff" }, { uid: 1000, gid: 50, additionalGids: [50] }, "/home/app"],
    [
      { name: "app", onlyTheseGroups: true, supplementalGroups: [7] },
      { uid: 1000, gid: 1001, additionalGids: [1001, 7] },
      "/home/app",
    ],
    [{ name: "77:88" }, { uid: 77, gid: 88, additionalGids: [88] }, "/"],
    [{ uid: 5, name: "app" }, { uid: 5, gid: 0, additionalGids: [0] }, "/"],
    [{ uid: 5, gid: 6, supplementalGroups: [7, 6] }, { uid: 5, gid: 6, additionalGids: [6, 7] }, "/"],
  ])("%j", (user, expected, home) => {
    expect(pick(user)).toEqual({ user: expected, home });
  });

  test.each([[{ name: "nobody" }], [{ name: "app:nogroup" }], [{ name: "99999999999" }]])("%j is unknown", (user) => {
    expect(() => pick(user)).toThrow("has no");
  });
});

describe("what runtimes say", () => {
  test.each([
    [
      "2026-01-02T03:04:05.678Z: executable file `x` not found in $PATH: No such file or directory",
      "executable file `x` not found in $PATH: No such file or directory",
    ],
    [
      'time="2026-01-02T03:04:05Z" level=warning msg="noise"\ntime="2026-01-02T03:04:05Z" level=error msg="runc create failed: unable to start container process: exec: \\"x\\": executable file not found in $PATH"',
      'exec: "x": executable file not found in $PATH',
    ],
    ["", "it gave no reason"],
  ])("%#", (output, message) => {
    expect(cleanRuntimeMessage(output)).toBe(message);
  });

  test.each([
    ["executable file `x` not found in $PATH: No such file or directory", 127],
    ['exec: "/x": permission denied', 126],
    ["open executable: Permission denied", 126],
    ["chdir: Permission denied", 128],
    ["write to /proc/sys/net/core/somaxconn: Invalid argument", 128],
    ["unknown seccomp architecture `SCMP_ARCH_PDP11`", 128],
    ["apparmor: No such file or directory", 128],
    ["exec /x: exec format error", 126],
  ])("%s", (output, exitCode) => {
    const error = runtimeError(output, { command: "/x", cwd: "/w", runtime: "crun" });
    expect(error).toMatchObject({ code: "runtime-failed", details: { reason: "StartError", exitCode } });
    expect(error.hint).toBeTruthy();
  });
});

test("hosts and resolv.conf", () => {
  const pod = { hostname: "web", hostAliases: [{ ip: "192.0.2.1", hostnames: ["a", "b"] }] };
  expect(hostsFile(pod, ["10.0.0.2"])).toMatch(
    /^# Kubernetes-managed hosts file\.\n[\s\S]*\n10\.0\.0\.2\tweb\n[\s\S]*\n192\.0\.2\.1\ta\tb\n$/,
  );
  expect(hostNetworkHostsFile({ hostAliases: [] }, "as it is")).toBe("as it is");
  expect(hostNetworkHostsFile(pod, "as it is\n")).toContain("192.0.2.1\ta\tb");
  expect(resolvConf({ policy: "host" }, "host's")).toBe("host's");
  const custom = { policy: "custom" as const, nameservers: ["192.0.2.53"], searches: [], options: [] };
  expect(resolvConf(custom, "host's")).toBe("nameserver 192.0.2.53\n");
});

test("mount points with blanks", () => {
  const line = "36 35 98:0 /a /mnt/with\\040blank\\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n";
  expect(mountTable(line)).toEqual([
    { mountPoint: "/mnt/with blank\\", fsType: "ext3", options: ["rw", "errors=continue"] },
  ]);
});

test("numbers of signals, devices and weights", () => {
  expect(["SIGTERM", "term", "15", "SIGRTMIN+3", "SIGRTMAX"].map(signalNumber)).toEqual([15, 15, 15, 37, 64]);
  for (const bad of ["", "0", "65", "SIGNOPE", "SIGRTMAX+1"])
    expect(() => signalNumber(bad)).toThrow("is not a signal");
  expect(splitDeviceNumber(0x103n)).toEqual({ major: 1, minor: 3 });
  expect(splitDeviceNumber(0x10fd02n)).toEqual({ major: 0xfd, minor: 0x102 });
  expect([2, 1024, 262_144].map(weightOfShares)).toEqual([1, 39, 10_000]);
});

describe("locks", () => {
  test("one at a time per key, in order, and waiting can be given up", async () => {
    const lock = keyedLock();
    const order: string[] = [];
    const { promise: go, resolve } = Promise.withResolvers<void>();
    const first = lock.run("a", undefined, async () => {
      await go;
      order.push("first");
    });
    const abort = new AbortController();
    const given = lock.run("a", abort.signal, async () => order.push("given up"));
    const second = lock.run("a", undefined, async () => order.push("second"));
    await lock.run("b", undefined, async () => order.push("other key"));
    abort.abort();
    await expect(given).rejects.toMatchObject({ code: "cancelled" });
    resolve();
    await Promise.all([first, second]);
    expect(order).toEqual(["other key", "first", "second"]);
  });

  test("whoever is alone waits for quiet and then holds the others up", async () => {
    const gate = createGate();
    const { signal } = new AbortController();
    const order: string[] = [];
    const { promise: go, resolve } = Promise.withResolvers<void>();
    const a = gate.enter(signal, async () => {
      await go;
      order.push("a");
    });
    const alone = gate.alone(signal, async () => order.push("alone"));
    const b = gate.enter(signal, async () => order.push("b"));
    await b;
    resolve();
    await Promise.all([a, alone]);
    expect(order).toEqual(["b", "a", "alone"]);
  });
});
