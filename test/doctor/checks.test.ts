import { describe, expect, test } from "vitest";
import type { Check } from "../../src/doctor/check.ts";
import { formatBytes } from "../../src/doctor/check-process.ts";
import { judge } from "../../src/doctor/checks.ts";
import type { HostFacts } from "../../src/doctor/facts.ts";
import { droppingTables } from "../../src/doctor/gather-network.ts";
import { bare, healthy, hybrid } from "./hosts.ts";

const find = (facts: HostFacts, name: string): Check | undefined => judge(facts).find((check) => check.name === name);
const problems = (facts: HostFacts): string[] =>
  judge(facts)
    .filter((check) => check.status !== "ok")
    .map((check) => `${check.status} ${check.name}`);

describe("hosts", () => {
  test("a healthy one has nothing to mend", () => expect(problems(healthy)).toEqual([]));

  test("hybrid cgroups: crun refuses, runc is used, and the exact mount is told", () => {
    expect(problems(hybrid)).toEqual(["warn privileges", "warn OCI runtime crun", "warn KVM"]);
    expect(find(hybrid, "OCI runtime crun")).toMatchObject({
      found: expect.stringContaining("runc is used instead"),
      mend: "mkdir -p /sys/fs/cgroup/hugetlb && mount -t cgroup -o hugetlb hugetlb /sys/fs/cgroup/hugetlb; and start the daemon again",
    });
    expect(find(hybrid, "privileges")?.found).toContain("CAP_SYS_RESOURCE");
  });

  test("a bare one, seen by a plain user", () => {
    expect(problems(bare)).toEqual([
      "fail privileges",
      "warn EROFS",
      "fail OCI runtime crun",
      "fail OCI runtime runc",
      "fail conmon",
      "warn mkfs.erofs",
      "fail CNI plugins",
      "warn QEMU",
      "warn micro-VM agent",
      "warn KVM",
    ]);
    expect(find(bare, "conmon")?.mend).toBe("apt-get install conmon erofs-utils");
    expect(find(bare, "bridge")).toMatchObject({ status: "ok", found: expect.stringContaining("needs root to see") });
  });

  test("every problem says how to mend it", () => {
    for (const facts of [healthy, hybrid, bare]) {
      for (const check of judge(facts)) if (check.status !== "ok") expect(check.mend, check.name).toMatch(/\w/);
    }
  });
});

const disk = { use: "x", path: "/x", freeBytes: 2 ** 40, freeInodes: 1e6, totalInodes: 2e6, writable: true };
const { network, limits, cgroups, microvm } = healthy;

/** One change each, and the problems that it makes. */
const changes: readonly (readonly [string, Partial<HostFacts>, readonly string[]])[] = [
  ["an old kernel", { kernelRelease: "4.19.0-26-amd64" }, ["fail kernel", "warn kernel for micro-VMs"]],
  ["no overlayfs", { features: { ...healthy.features, overlay: "no" } }, ["fail overlayfs"]],
  ["no seccomp", { features: { ...healthy.features, seccompFilter: "no" } }, ["warn seccomp"]],
  [
    "AppArmor without its parser",
    { confinement: { ...healthy.confinement, appArmor: "no-parser" } },
    ["warn AppArmor"],
  ],
  ["neither AppArmor nor SELinux", { confinement: { ...healthy.confinement, appArmor: "absent" } }, []],
  [
    "a damaged seccomp profile",
    {
      confinement: {
        ...healthy.confinement,
        seccompProfiles: { folder: "/s", sound: [], damaged: [{ name: "x.json", why: "is no JSON" }] },
      },
    },
    ["warn seccomp profiles"],
  ],
  ["root without CAP_SYS_ADMIN", { capabilities: healthy.capabilities & ~(1n << 21n) }, ["fail privileges"]],
  ["no cgroups", { cgroups: { ...cgroups, mode: "none" } }, ["fail cgroups"]],
  ["v2 without memory", { cgroups: { ...cgroups, v2: ["cpu", "pids"] } }, ["warn cgroups"]],
  [
    "v1 without pids",
    { cgroups: { ...hybrid.cgroups, mode: "v1", v1: hybrid.cgroups.v1.filter((name) => name !== "pids") } },
    ["warn cgroups"],
  ],
  ["few inotify instances", { limits: { ...limits, inotifyInstances: 16 } }, ["warn inotify"]],
  ["no inotify", { limits: { ...limits, inotifyInstances: undefined } }, ["fail inotify"]],
  ["user namespaces off", { limits: { ...limits, userNamespaces: 0 } }, ["warn user namespaces"]],
  ["no user namespaces", { limits: { ...limits, userNamespaces: undefined } }, ["warn user namespaces"]],
  ["little space", { disks: [{ ...disk, freeBytes: 5e8 }] }, ["warn disk for x"]],
  ["no space", { disks: [{ ...disk, freeBytes: 1000 }] }, ["fail disk for x"]],
  ["no inodes", { disks: [{ ...disk, freeInodes: 3 }] }, ["fail disk for x"]],
  ["inodes are not counted (btrfs)", { disks: [{ ...disk, freeInodes: 0, totalInodes: 0 }] }, []],
  ["read-only", { disks: [{ ...disk, writable: false }] }, ["fail disk for x"]],
  ["a clock of 1970", { now: 0 }, ["fail time"]],
  ["broken conflist", { network: { ...network, conflistError: "CNI network /x: is no JSON" } }, ["fail CNI network"]],
  ["plugin of a user's conflist missing", { network: { ...network, needed: ["macvlan"] } }, ["fail CNI plugins"]],
  ["firewall that drops", { network: { ...network, droppingTables: ["inet filter"] } }, ["warn forwarding"]],
  ["range taken", { network: { ...network, conflictingRoute: "10.77.0.0/16 dev tun0" } }, ["fail pod addresses"]],
  [
    "range taken, but not used",
    { network: { ...network, conflist: { file: "/x", name: "x", own: false }, conflictingRoute: "x" } },
    [],
  ],
  [
    "no QEMU where the setting says",
    { microvm: { ...microvm, qemu: undefined, qemuSetting: "/opt/q" } },
    ["warn QEMU"],
  ],
  [
    "a kernel that is none",
    { microvm: { ...microvm, kernel: { wrong: "no kernel", mend: "x" } } },
    ["warn micro-VM kernel"],
  ],
  ["no kernel yet", { microvm: { ...microvm, kernel: "absent" } }, []],
  ["no kernel, not Debian", { microvm: { ...microvm, kernel: "absent", fetchable: false } }, ["warn micro-VM kernel"]],
  ["a compiler, no agent yet", { microvm: { ...microvm, agent: "compilable" } }, []],
  ["KVM not tried yet", { microvm: { ...microvm, accelerator: "untried" } }, []],
  ["KVM that runs no guest", { microvm: { ...microvm, accelerator: { used: "tcg", why: "x" } } }, ["warn KVM"]],
  ["no tap devices", { microvm: { ...microvm, tun: false } }, ["warn tap devices"]],
  ["no redirection", { microvm: { ...microvm, redirect: "no" } }, ["warn redirection"]],
  ["no telling whether there is", { microvm: { ...microvm, redirect: "unknown" } }, []],
  ["too old for micro-VMs only", { kernelRelease: "5.10.0-28-amd64" }, ["warn kernel for micro-VMs"]],
  ["a small /dev/shm", { microvm: { ...microvm, templateBytes: 2 ** 26 } }, ["warn micro-VM templates"]],
  ["another processor", { machine: "arm64" }, ["warn micro-VMs"]],
  ["daemon runs", { daemon: { pid: 7, answers: true, pressure: [], leftovers: [] } }, []],
  [
    "node under pressure",
    { daemon: { pid: 7, answers: true, pressure: ["DiskPressure"], leftovers: [] } },
    ["warn pressure"],
  ],
  ["daemon hangs", { daemon: { pid: 7, answers: false, pressure: [], leftovers: [] } }, ["warn daemon"]],
  [
    "daemon died",
    { daemon: { pid: undefined, answers: false, pressure: [], leftovers: ["bridge gantry0"] } },
    ["warn daemon"],
  ],
];

test.each(changes)("%s", (_, change, expected) => expect(problems({ ...healthy, ...change })).toEqual(expected));

test("tables that drop what is forwarded, other than those that the daemon opens", () => {
  const chain = (family: string, table: string, hook: string, policy: string) => ({
    chain: { family, table, name: "f", handle: 1, hook, policy },
  });
  const listing = {
    nftables: [
      { metainfo: {} },
      chain("inet", "filter", "forward", "drop"),
      chain("inet", "filter", "input", "drop"),
      chain("ip", "filter", "forward", "drop"),
      chain("inet", "firewalld", "forward", "drop"),
      chain("ip", "mine", "forward", "accept"),
    ],
  };
  expect(droppingTables(JSON.stringify(listing))).toEqual(["inet filter"]);
  expect(droppingTables("")).toEqual([]);
});

test("bytes for people", () => {
  expect([0, 999, 1024, 1536, 10 * 2 ** 30, 2 ** 45].map(formatBytes)).toEqual([
    "0 B",
    "999 B",
    "1.0 KiB",
    "1.5 KiB",
    "10 GiB",
    "32 TiB",
  ]);
});
