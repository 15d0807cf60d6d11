import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import type { SeccompProfile } from "../../src/confine/seccomp-profile.ts";
import type { ContainerConfig, ContainerSecurity, PreparedVolume } from "../../src/sandbox/driver.ts";
import { testWhere } from "../support/test-where.ts";
import type { Bench } from "./harness.ts";

/** What the app sees of its container. */
export function insideViews(bench: Bench): void {
  const onHostKernel = testWhere(bench.features.hostKernel);
  /** What `script` prints in a fresh container, errors too. */
  const look = async (script: string, more?: Partial<ContainerConfig>, pod = {}): Promise<string> => {
    const { id } = await bench.sandbox(pod);
    const container = await bench.start(id, { does: "run" }, more);
    const { stdout } = await bench.exec(id, container, ["sh", "-c", `exec 2>&1; ${script}`]);
    return stdout;
  };
  const security = (more: Partial<ContainerSecurity>): Partial<ContainerConfig> => ({
    security: {
      privileged: false,
      noNewPrivileges: true,
      readOnlyRootFilesystem: false,
      capabilities: { add: [], drop: [] },
      seccomp: { type: "RuntimeDefault" },
      ...more,
    },
  });

  test("what it has in its environment is on no disk, as Secrets may be there", async () => {
    const { id } = await bench.sandbox();
    const container = await bench.start(
      id,
      { does: "run" },
      { env: [{ name: "PASSWORD", value: "neither-on-a-disk" }] },
    );
    const printed = await bench.exec(id, container, ["sh", "-c", "echo $PASSWORD"]);
    expect(printed.stdout).toBe("neither-on-a-disk\n");
    expect(await bench.harness.onDisk("neither-on-a-disk")).toEqual([]);
    expect(await bench.harness.onDisk(id)).not.toEqual([]); // it does find what is there
  });

  test("pid 1, the pod's name, its hosts and resolv.conf", async () => {
    const pod = { hostname: "web-0", hostAliases: [{ ip: "192.0.2.9", hostnames: ["db", "db.local"] }] };
    const seen = await look(
      "hostname; cat /etc/hostname /etc/hosts /etc/resolv.conf; ls /proc | grep -c '^[0-9]*$'",
      {},
      pod,
    );
    expect(seen).toContain("web-0\nweb-0\n# Kubernetes-managed hosts file.\n");
    expect(seen).toMatch(/\n\d+\.\d+\.\d+\.\d+\tweb-0\n/);
    expect(seen).toContain("192.0.2.9\tdb\tdb.local\n");
    expect(seen).toContain("search example.test\nnameserver 192.0.2.53\noptions ndots:2\n");
  });

  test("by default the 14 usual capabilities, no new privileges, and seccomp", async () => {
    const seen = await look("cat /proc/1/status");
    expect(seen).toMatch(/CapEff:\t00000000a80425fb/);
    expect(seen).toMatch(/NoNewPrivs:\t1/);
    expect(seen).toMatch(/Seccomp:\t2/);
  });

  test("capabilities are dropped and added by name", async () => {
    const none = await look("cat /proc/1/status", security({ capabilities: { add: [], drop: ["ALL"] } }));
    expect(none).toMatch(/CapBnd:\t0{16}\n/);
    const one = await look("cat /proc/1/status", security({ capabilities: { add: ["NET_ADMIN"], drop: ["ALL"] } }));
    expect(one).toMatch(/CapEff:\t0000000000001000\n/);
    await expect(look("true", security({ capabilities: { add: ["NOPE"], drop: [] } }))).rejects.toMatchObject({
      code: "unsupported",
    });
  });

  test("seccomp refuses new namespaces and mounts; Unconfined does not", async () => {
    const script = "unshare -U true; echo $?";
    expect(await look(script)).toMatch(/^1\n/m);
    const open = security({ seccomp: { type: "Unconfined" } });
    expect(await look(script, open)).toMatch(/^0\n/m);
  });

  test("seccomp by a profile of one's own, for the app and for commands; nothing hidden where it is unmasked", async () => {
    const profile: SeccompProfile = {
      defaultAction: "SCMP_ACT_ALLOW",
      syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 95 }],
    };
    const own = security({ seccomp: { type: "Localhost", profile }, unmasked: true });
    const seen = await look("mkdir /x; grep -c ' /proc/' /proc/mounts; grep Seccomp: /proc/1/status", own);
    expect(seen).toMatch(/Operation not supported\n0\nSeccomp:\t2/);
  });

  onHostKernel("a privileged container has all of it", async () => {
    const seen = await look(
      "cat /proc/1/status; mount -t tmpfs x /tmp && echo mounted; ls /dev",
      security({ privileged: true }),
    );
    expect(seen).toMatch(/Seccomp:\t0/);
    expect(seen).toContain("mounted");
    expect(seen).toContain("loop-control");
  });

  test("parts of /proc and /sys are hidden or read-only", async () => {
    const seen = await look(
      "wc -c < /proc/keys; ls /sys/firmware | wc -l; echo 1 > /proc/sys/kernel/domainname; mkdir $(grep -m1 -o '/sys/fs/cgroup.* cgroup' /proc/mounts | cut -d' ' -f1)/x",
    );
    expect(seen).toMatch(/^0\n0\n/);
    expect(seen).toMatch(/Read-only file system[\s\S]*Read-only file system/);
  });

  onHostKernel("a read-only root, with its volumes writable as they say", async () => {
    const volume = await volumeOnHost();
    const mounts = [
      { volume: "data", mountPath: "/data", readOnly: false, propagation: "None" as const },
      { volume: "data", mountPath: "/data/ro", readOnly: true, propagation: "None" as const },
    ];
    const more = { ...security({ readOnlyRootFilesystem: true }), mounts };
    const script =
      "echo x > /x; echo y > /data/y && cat /data/ro/seed; echo z > /data/ro/z; echo w > /dev/shm/w && echo shm";
    const seen = await look(script, more, { volumes: [volume] });
    expect(seen).toMatch(/can't create \/x: Read-only/);
    expect(seen).toContain("seed");
    expect(seen).toMatch(/can't create \/data\/ro\/z: Read-only/);
    expect(seen).toContain("shm");
  });

  onHostKernel("a volume on one of our files wins", async () => {
    const volume = { ...(await volumeOnHost()), name: "hosts" };
    const file = { ...volume, hostPath: join(volume.hostPath, "seed") };
    const mounts = [{ volume: "hosts", mountPath: "/etc/hosts", readOnly: true, propagation: "None" as const }];
    expect(await look("cat /etc/hosts", { mounts }, { volumes: [file] })).toBe("seed\n");
  });

  test("users by name, number and group; a missing one is named", async () => {
    const user = (name: string) => ({ user: { name, supplementalGroups: [] } });
    expect(await look("id; echo $HOME", user("app"))).toBe(
      "uid=1000(app) gid=1001(app) groups=1001(app),2000(extra)\n/home/app\n",
    );
    expect(await look("id -u; id -g", user("1234:5678"))).toBe("1234\n5678\n");
    expect(await look("id -u; id -g", { user: { uid: 77, gid: 88, name: "app", supplementalGroups: [] } })).toBe(
      "77\n88\n",
    );
    const only = { user: { name: "app", supplementalGroups: [7], onlyTheseGroups: true } };
    expect(await look("id -G", only)).toBe("1001 7\n");
    await expect(look("true", user("nobody-here"))).rejects.toMatchObject({ code: "image-invalid" });
  });

  test("a working directory that is missing is made", async () => {
    expect(await look("pwd", { workingDir: "/made/for/me" })).toBe("/made/for/me\n");
  });

  test("limits are set, and too much memory is the end", async () => {
    const { id } = await bench.sandbox({ resources: { memoryLimitBytes: 256 * 1024 * 1024, pidsLimit: 200 } });
    const container = await bench.start(id, ["dd", "if=/dev/zero", "of=/dev/shm/all", "bs=1M", "count=60"], {
      resources: {
        memoryLimitBytes: (bench.features.hostKernel ? 24 : 8) * 1024 * 1024, // filling it takes an emulated CPU long
        cpuShares: 512,
        cpuQuotaUs: 50_000,
        cpuPeriodUs: 100_000,
        pidsLimit: 50,
      },
    });
    expect(await bench.exited(id, container)).toMatchObject({ oomKilled: true });
  });

  test("sysctls of the pod", async () => {
    const pod = { sysctls: { "net.ipv4.ip_unprivileged_port_start": "0", "kernel.shm_rmid_forced": "1" } };
    const script = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start /proc/sys/kernel/shm_rmid_forced";
    expect(await look(script, {}, pod)).toBe("0\n1\n");
  });

  test("a long termination message is cut at 4096 bytes, and a link is not followed", async () => {
    const { id } = await bench.sandbox();
    const long = await bench.start(id, ["sh", "-c", "head -c 10000 /dev/zero | tr '\\0' x > /dev/termination-log"]);
    expect((await bench.exited(id, long)).terminationMessage).toBe("x".repeat(4096));
    const script = "umount /tmp/message 2>/dev/null; rm -f /tmp/message; ln -s /etc/shadow /tmp/message";
    const link = await bench.start(id, ["sh", "-c", script], { terminationMessagePath: "/tmp/message" });
    expect((await bench.exited(id, link)).terminationMessage).toBeUndefined();
  });
}

async function volumeOnHost(): Promise<PreparedVolume> {
  const hostPath = await mkdtemp(join(tmpdir(), "gantry-volume-"));
  onTestFinished(() => rm(hostPath, { recursive: true, force: true }));
  await writeFile(join(hostPath, "seed"), "seed\n");
  return { name: "data", kind: "emptyDir", hostPath };
}
