import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ContainerSecurity } from "../../../src/sandbox/driver.ts";
import { overlayOptions } from "../../../src/sandbox/namespace/bundle.ts";
import {
  ALL_CAPABILITIES,
  capabilitiesOfMask,
  capabilitySets,
  DEFAULT_CAPABILITIES,
  effectiveCapabilities,
} from "../../../src/sandbox/namespace/oci/capabilities.ts";
import { containerMounts, rootPropagation } from "../../../src/sandbox/namespace/oci/mounts.ts";
import { containerResources } from "../../../src/sandbox/namespace/oci/resources.ts";
import { defaultSeccomp } from "../../../src/sandbox/namespace/oci/seccomp.ts";
import { ociSpec } from "../../../src/sandbox/namespace/oci/spec.ts";

const EVERY = new Set(ALL_CAPABILITIES);

function security(add: readonly string[], drop: readonly string[], privileged = false): ContainerSecurity {
  return {
    privileged,
    noNewPrivileges: true,
    readOnlyRootFilesystem: false,
    capabilities: { add, drop },
    seccomp: { type: "RuntimeDefault" },
  };
}

describe("capabilities", () => {
  test("the default ones are the 14 of Docker, as a mask 0xa80425fb", () => {
    expect(new Set(DEFAULT_CAPABILITIES)).toEqual(capabilitiesOfMask(0xa80425fbn));
    expect(new Set(effectiveCapabilities(security([], []), EVERY))).toEqual(new Set(DEFAULT_CAPABILITIES));
  });

  test("drop comes before add, in any spelling", () => {
    expect(effectiveCapabilities(security(["NET_ADMIN"], ["ALL"]), EVERY)).toEqual(["CAP_NET_ADMIN"]);
    expect(effectiveCapabilities(security(["cap_sys_time"], ["all"]), EVERY)).toEqual(["CAP_SYS_TIME"]);
    expect(effectiveCapabilities(security(["ALL"], []), EVERY)).toEqual(ALL_CAPABILITIES);
    expect(effectiveCapabilities(security(["ALL"], ["SYS_ADMIN"]), EVERY)).not.toContain("CAP_SYS_ADMIN");
    expect(effectiveCapabilities(security([], ["KILL"]), EVERY)).toHaveLength(13);
  });

  test("none that the host does not have is given away, and asking for it is an error", () => {
    const host = new Set(DEFAULT_CAPABILITIES);
    expect(new Set(effectiveCapabilities(security([], [], true), host))).toEqual(host);
    expect(() => effectiveCapabilities(security(["SYS_ADMIN"], []), host)).toThrow("cannot grant");
    expect(() => effectiveCapabilities(security([], ["SYS_ADMN"]), EVERY)).toThrow('"SYS_ADMN" is not a capability');
  });

  test("users other than root have them in the bounding set only", () => {
    expect(capabilitySets(["CAP_KILL"], 1000)).toEqual({ bounding: ["CAP_KILL"], effective: [], permitted: [] });
    expect(capabilitySets(["CAP_KILL"], 0).effective).toEqual(["CAP_KILL"]);
  });
});

describe("seccomp", () => {
  const allowedBy = (capabilities: readonly string[]): Set<string> =>
    new Set(
      defaultSeccomp(capabilities, "x64")
        .syscalls.filter((rule) => rule.action === "SCMP_ACT_ALLOW" && rule.args === undefined)
        .flatMap((rule) => rule.names),
    );

  test("what only root of the host should do needs the capability for it", () => {
    const plain = allowedBy(DEFAULT_CAPABILITIES);
    for (const name of [
      "mount",
      "unshare",
      "setns",
      "bpf",
      "init_module",
      "reboot",
      "kexec_load",
      "keyctl",
      "clone3",
    ]) {
      expect(plain, name).not.toContain(name);
    }
    expect(plain).toContain("chroot"); // SYS_CHROOT is among the defaults
    expect(allowedBy([])).not.toContain("chroot");
    const admin = allowedBy(["CAP_SYS_ADMIN"]);
    for (const name of ["mount", "unshare", "setns", "clone", "clone3"]) expect(admin, name).toContain(name);
    expect(allowedBy(["CAP_SYS_MODULE"])).toContain("init_module");
  });

  test("clone makes no namespaces, clone3 is not there, vsock is closed, personality is limited", () => {
    const { syscalls } = defaultSeccomp([], "x64");
    expect(syscalls).toContainEqual({ names: ["clone3"], action: "SCMP_ACT_ERRNO", errnoRet: 38 });
    const clone = syscalls.find((rule) => rule.names.includes("clone"));
    expect(clone?.args).toEqual([{ index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" }]);
    const socket = syscalls.find((rule) => rule.names.includes("socket"));
    expect(socket?.args).toEqual([{ index: 0, value: 40, op: "SCMP_CMP_NE" }]);
    expect(syscalls.filter((rule) => rule.names.includes("personality"))).toHaveLength(5);
  });

  // It comes with skopeo, which images need.
  const published = "/usr/share/containers/seccomp.json";
  test("nothing that containers-common always allows is missing without a reason", () => {
    const profile: { syscalls: { names: string[]; action: string; args: unknown[]; includes: object }[] } = JSON.parse(
      readFileSync(published, "utf8"),
    );
    const theirs = profile.syscalls
      .filter(
        (rule) =>
          rule.action === "SCMP_ACT_ALLOW" && !rule.args?.length && Object.keys(rule.includes ?? {}).length === 0,
      )
      .flatMap((rule) => rule.names);
    const ours = new Set(defaultSeccomp(ALL_CAPABILITIES, "x64").syscalls.flatMap((rule) => rule.names));
    const missing = theirs.filter((name) => !ours.has(name)).sort();
    // The kernel's keyring is shared by all containers; pivot_root needs mount; the others are no system calls.
    expect(missing).toEqual(["keyctl", "pivot_root", "syscall", "timerfd"]);
  });
});

test("AppArmor's profile, SELinux' labels, a filter of one's own, nothing masked", () => {
  const of = (more: Partial<ContainerSecurity>) =>
    ociSpec({
      sandbox: {
        ...{ id: "s", pod: { namespace: "d", name: "p", uid: "u" }, attempt: 0, labels: {}, hostname: "p" },
        ...{ hostNetwork: false, hostPID: false, hostIPC: false, hostUsers: true, shareProcessNamespace: false },
        ...{ portMappings: [], dns: { policy: "host" }, hostAliases: [], sysctls: {}, resources: {}, volumes: [] },
      },
      container: {
        ...{ id: "c", name: "c", attempt: 0, specHash: "", labels: {}, imageDigest: "", imageName: "" },
        ...{ argv: ["/app"], workingDir: "/", env: [], mounts: [], user: { supplementalGroups: [] }, resources: {} },
        ...{ security: { ...security([], []), ...more }, stdin: "closed", tty: false, logPath: "/log" },
        terminationMessagePath: "/dev/termination-log",
      },
      ...{ rootfs: "/r", user: { uid: 0, gid: 0, additionalGids: [] }, home: "/", capabilities: [], arch: "x64" },
      ...{
        kernel: "6.1.0",
        cgroupsPath: "/c",
        cgroup: { unified: true, swapLimit: false },
        namespaces: {},
        idmap: false,
      },
      ...{ shm: "/shm", files: {}, writableFiles: {}, subPaths: new Map(), devices: [], rlimits: [] },
      oomScoreAdj: undefined,
    });
  const plain = of({});
  expect(Object.keys(plain.process)).not.toEqual(expect.arrayContaining(["apparmorProfile"]));
  expect(Object.keys(plain.process)).not.toEqual(expect.arrayContaining(["selinuxLabel"]));
  expect(plain.linux).toMatchObject({ maskedPaths: expect.arrayContaining(["/proc/kcore"]) });
  expect(plain.linux.mountLabel).toBeUndefined();
  const seccomp = { type: "Localhost", profile: { defaultAction: "SCMP_ACT_LOG" } } as const;
  const labels = { process: "u:r:t:s0", files: "u:object_r:f:s0" };
  const confined = of({ appArmorProfile: "mine", seLinux: labels, seccomp, unmasked: true });
  expect(confined.process).toMatchObject({ apparmorProfile: "mine", selinuxLabel: "u:r:t:s0" });
  expect(confined.linux).toMatchObject({
    ...{ mountLabel: "u:object_r:f:s0", maskedPaths: [], readonlyPaths: [] },
    seccomp: { defaultAction: "SCMP_ACT_LOG", syscalls: [] },
  });
  expect(of({ seccomp, privileged: true }).linux.seccomp).toBeUndefined();
});

test("the label of a root is quoted: it has commas of its own", () => {
  const files = { upper: "/u", work: "/w" };
  const label = "u:object_r:f:s0:c1,c2";
  expect(overlayOptions(files, "/l", { shifted: true, label })).toBe(
    'lowerdir=/l,upperdir=/u,workdir=/w,volatile,metacopy=on,context="u:object_r:f:s0:c1,c2"',
  );
  expect(overlayOptions(files, "/l", { shifted: false, label: undefined })).not.toContain("context");
});

describe("mounts", () => {
  const facts = {
    privileged: false,
    hostPID: false,
    hostNetwork: false,
    userNamespace: false,
    idmap: false,
    shm: "/pod/shm",
    files: { "/etc/hosts": "/pod/hosts", "/etc/hostname": "/pod/hostname" },
    subPaths: new Map<string, string>(),
    writableFiles: { "/dev/termination-log": "/c/message" },
    volumes: [{ name: "v", kind: "emptyDir" as const, hostPath: "/host/v" }],
    mounts: [],
  };
  const at = (mountPath: string) => ({ volume: "v", mountPath, readOnly: true, propagation: "None" as const });

  test("a user's mount takes the place of ours", () => {
    const mounts = containerMounts({
      ...facts,
      mounts: [at("/etc/hosts/"), at("/dev/shm"), at("/dev/termination-log")],
    });
    for (const path of ["/etc/hosts", "/dev/shm", "/dev/termination-log"]) {
      expect(mounts.filter((mount) => mount.destination === path)).toMatchObject([{ source: "/host/v" }]);
    }
  });

  test("outer paths come before inner ones", () => {
    const mounts = containerMounts({ ...facts, mounts: [at("/a/b/c"), at("/a"), at("/a/b")] });
    expect(mounts.filter((mount) => mount.source === "/host/v").map((mount) => mount.destination)).toEqual([
      "/a",
      "/a/b",
      "/a/b/c",
    ]);
  });

  test("a user namespace on the host's network cannot mount sysfs", () => {
    const sys = (more: object) => containerMounts({ ...facts, ...more }).find((mount) => mount.destination === "/sys");
    expect(sys({ userNamespace: true, hostNetwork: true })).toMatchObject({ type: "bind", source: "/sys" });
    expect(sys({ userNamespace: true })).toMatchObject({ type: "sysfs" });
  });

  test("the root propagates as far as a mount below it asks", () => {
    const mount = (propagation: "None" | "HostToContainer" | "Bidirectional") => ({ ...at("/x"), propagation });
    expect(rootPropagation([mount("None")])).toBeUndefined();
    expect(rootPropagation([mount("HostToContainer")])).toBe("rslave");
    expect(rootPropagation([mount("HostToContainer"), mount("Bidirectional")])).toBe("rshared");
  });
});

test("resources: a quota has a period, swap is limited only where it can be", () => {
  const features = { unified: false, swapLimit: false };
  expect(containerResources({ cpuQuotaUs: 5000, memoryLimitBytes: 1 << 20 }, false, features)).toEqual({
    devices: [{ allow: false, access: "rwm" }],
    cpu: { quota: 5000, period: 100_000 },
    memory: { limit: 1 << 20 },
  });
  expect(containerResources({ memoryLimitBytes: 5 }, true, { unified: true, swapLimit: true })).toEqual({
    devices: [{ allow: true, access: "rwm" }],
    memory: { limit: 5, swap: 5 },
    unified: { "memory.oom.group": "1" },
  });
});
