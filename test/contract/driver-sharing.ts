import { chmod, mkdtemp, readFile, readlink, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { testWhere } from "../support/test-where.ts";
import type { Bench } from "./harness.ts";

const NAMESPACES = ["net", "ipc", "uts", "pid", "mnt"] as const;

/** Which namespaces the containers of a pod share with each other and with the host. */
export function sharing(bench: Bench): void {
  const namespacesOf = async (pod: string, container: string): Promise<Record<string, string>> => {
    const observed = await bench.container(pod, container);
    const entries = NAMESPACES.map(
      async (name) => [name, await readlink(`/proc/${observed?.pid}/ns/${name}`)] as const,
    );
    return Object.fromEntries(await Promise.all(entries));
  };
  const onHostKernel = testWhere(bench.features.hostKernel);
  const ours = async (name: string): Promise<string> => await readlink(`/proc/self/ns/${name}`);

  onHostKernel("two containers of a pod share net, ipc and uts, and no pids", async () => {
    const { id } = await bench.sandbox();
    const a = await namespacesOf(id, await bench.start(id, { does: "run" }));
    const b = await namespacesOf(id, await bench.start(id, { does: "run" }));
    for (const name of ["net", "ipc", "uts"]) {
      expect(a[name]).toBe(b[name]);
      expect(a[name]).not.toBe(await ours(name));
    }
    expect(a["pid"]).not.toBe(b["pid"]);
    expect(a["mnt"]).not.toBe(b["mnt"]);
  });

  test("/dev/shm is the pod's", async () => {
    const { id } = await bench.sandbox();
    const a = await bench.start(id, { does: "run" });
    const b = await bench.start(id, { does: "run" });
    await bench.exec(id, a, ["sh", "-c", "echo hello > /dev/shm/x"]);
    expect(await bench.exec(id, b, ["cat", "/dev/shm/x"])).toMatchObject({ stdout: "hello\n" });
  });

  onHostKernel("hostNetwork, hostPID and hostIPC are the host's", async () => {
    const pod = await bench.sandbox({ hostNetwork: true, hostPID: true, hostIPC: true });
    expect(pod.ips).toEqual([]);
    const app = await bench.start(pod.id, { does: "ignore-term" });
    const seen = await namespacesOf(pod.id, app);
    for (const name of ["net", "ipc", "uts", "pid"]) expect(seen[name]).toBe(await ours(name));
    const { stdout } = await bench.exec(pod.id, app, ["cat", "/etc/hosts"]);
    expect(stdout).toBe(await readFile("/etc/hosts", "utf8"));
    await bench.driver.stopContainer(pod.id, app, { graceMs: 0 }, bench.signal);
    expect(await bench.container(pod.id, app)).toMatchObject({ exitCode: 137 });
  });

  onHostKernel("without a pid namespace of its own an app's children are killed with it", async () => {
    const pod = await bench.sandbox({ hostPID: true });
    const script = "setsid sleep 1234 & while :; do sleep 1; done";
    const app = await bench.start(pod.id, ["sh", "-c", script]);
    await bench.driver.stopContainer(pod.id, app, { graceMs: 5000 }, bench.signal);
    const other = await bench.start(pod.id, { does: "run" });
    const { stdout } = await bench.exec(pod.id, other, ["sh", "-c", "ps -o args | grep -c '[s]leep 1234'"]);
    expect(stdout).toBe("0\n");
  });

  test("shareProcessNamespace: the apps see each other, below a pause process", async () => {
    const { id } = await bench.sandbox({ shareProcessNamespace: true });
    const a = await bench.start(id, { does: "run" });
    const b = await bench.start(id, ["sleep", "4321"]);
    const { stdout } = await bench.exec(id, a, ["ps", "-o", "pid,args"]);
    expect(stdout).toMatch(bench.features.hostKernel ? /^\s*1 \/pause/m : /^\s*1 \/init/m);
    expect(stdout).toContain("sleep 4321");
    await bench.driver.stopContainer(id, b, { stopSignal: "SIGKILL", graceMs: 0 }, bench.signal);
    expect(await bench.container(id, a)).toMatchObject({ state: "running" });
    expect(await bench.container(id, b)).toMatchObject({ state: "exited", exitCode: 137 });
  });

  onHostKernel("hostUsers: false gives root of the container no power over the host", async () => {
    const hostPath = await mkdtemp(join(tmpdir(), "gantry-volume-"));
    onTestFinished(() => rm(hostPath, { recursive: true, force: true }));
    await chmod(hostPath, 0o777);
    const pod = await bench.sandbox({ hostUsers: false, volumes: [{ name: "data", kind: "emptyDir", hostPath }] });
    const mounts = [{ volume: "data", mountPath: "/data", readOnly: false, propagation: "None" as const }];
    const app = await bench.start(pod.id, { does: "run" }, { mounts });
    const script =
      "id -u; cat /proc/self/uid_map; stat -c %u /bin/busybox /home/app; echo x > /root/x; echo x > /data/x; stat -c %u /data/x";
    const { stdout, stderr } = await bench.exec(pod.id, app, ["sh", "-c", script]);
    expect(stderr).toBe("");
    expect(stdout).toMatch(/^0\n\s+0\s+\d+\s+65536\n0\n1000\n0\n$/);
    const observed = await bench.container(pod.id, app);
    expect((await stat(`/proc/${observed?.pid}`)).uid).toBeGreaterThanOrEqual(1 << 20);
    const other = await bench.sandbox({ hostUsers: false });
    expect(other.detail["firstHostId"]).not.toBe(pod.detail["firstHostId"]);
  });
}
