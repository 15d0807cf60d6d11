import { mkdir, mkdtemp, rename, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ContainerMount, PreparedVolume } from "../../../src/sandbox/driver.ts";
import { until, useBench } from "../../contract/harness.ts";
import { microvmHarness } from "../../contract/microvm-harness.ts";

/** As the volume manager lays it out. */
async function configMap(files: Record<string, string>) {
  const hostPath = await mkdtemp(join(tmpdir(), "gantry-config-"));
  onTestFinished(() => rm(hostPath, { recursive: true, force: true }));
  let version = 0;
  const write = async (now: Record<string, string>): Promise<void> => {
    const directory = `..v${++version}`;
    await mkdir(join(hostPath, directory));
    for (const [name, text] of Object.entries(now)) {
      await writeFile(join(hostPath, directory, name), text, { mode: 0o640 });
      await symlink(`..data/${name}`, join(hostPath, name)).catch(() => {});
    }
    await symlink(directory, join(hostPath, "..new"));
    await rename(join(hostPath, "..new"), join(hostPath, "..data"));
  };
  await write(files);
  const volume: PreparedVolume = { name: "config", kind: "configMap", hostPath };
  return { volume, write };
}

const at = (volume: string, mountPath: string, readOnly = false): ContainerMount => ({
  ...{ volume, mountPath, readOnly, propagation: "None" },
});

describe("volumes of a micro-VM", () => {
  const bench = useBench({ inside: true, hostKernel: false }, microvmHarness);

  test("a ConfigMap is there before the app, cannot be written to, and follows its changes", async () => {
    const { volume, write } = await configMap({ a: "one\n", big: "x".repeat(200_000) });
    const { id } = await bench.sandbox({ volumes: [volume] });
    const mounts = [at("config", "/etc/config"), at("config", "/copy", true)];
    const app = await bench.start(id, { does: "run" }, { mounts });
    const sh = async (script: string) => (await bench.exec(id, app, ["sh", "-c", `exec 2>&1; ${script}`])).stdout;
    expect(await sh("cat /etc/config/a /copy/a; wc -c < /copy/big; stat -Lc %a /copy/a; touch /etc/config/x")).toMatch(
      /^one\none\n200000\n640\n.*Read-only/,
    );
    await write({ a: "two\n", b: "new\n" });
    await until("the app sees the change", async () => {
      await bench.driver.list();
      return (await sh("cat /etc/config/a")) === "two\n";
    });
    expect(await sh("cat /copy/b")).toBe("new\n");
  });

  test("an emptyDir is shared by the containers, open to all, and bounded", async () => {
    const volumes: PreparedVolume[] = [
      { name: "data", kind: "emptyDir", hostPath: "/nowhere", sizeLimitBytes: 1 << 20 },
      { name: "memory", kind: "emptyDir", medium: "Memory", hostPath: "/nowhere" },
    ];
    const { id } = await bench.sandbox({ volumes });
    const mounts = [at("data", "/data"), at("memory", "/memory")];
    const user = { uid: 1000, gid: 1000, supplementalGroups: [] };
    const a = await bench.start(id, { does: "run" }, { mounts, user });
    const b = await bench.start(id, { does: "run" }, { mounts: [at("data", "/in", true)] });
    await bench.exec(id, a, ["sh", "-c", "echo hello > /data/x; echo y > /memory/y"]);
    expect(await bench.exec(id, b, ["cat", "/in/x"])).toMatchObject({ stdout: "hello\n" });
    expect((await bench.exec(id, b, ["touch", "/in/y"])).code).toBe(1);
    // Beyond the limit, for which the pod is evicted, but not far.
    const fill = "head -c 60000000 /dev/zero > /data/full; stat -c %s /data/full";
    const full = Number((await bench.exec(id, a, ["sh", "-c", fill])).stdout);
    expect(full).toBeGreaterThan(1 << 20);
    expect(full).toBeLessThanOrEqual(17 << 20);
    const used = await bench.driver.diskUsage(id, "bytes");
    expect([...used.volumes.keys()]).toEqual(["data"]);
    expect(used.volumes.get("data")).toBeGreaterThanOrEqual(full);
    await bench.exec(id, b, ["sh", "-c", "mkdir -p /w; cd /w; for i in 1 2 3 4 5; do echo x > $i; done"]);
    await bench.exec(id, b, ["sh", "-c", "head -c 3000000 /dev/zero > /w/big"]);
    const bytes = (await bench.driver.diskUsage(id, "bytes")).containers;
    expect(bytes.get(b)).toBeGreaterThanOrEqual(3_000_000);
    expect(bytes.get(a)).toBeLessThan(1_000_000);
    const inodes = (await bench.driver.diskUsage(id, "inodes")).containers;
    expect(inodes.get(b)).toBeGreaterThanOrEqual((inodes.get(a) ?? 0) + 5);
    expect((await bench.driver.diskUsage("no-such-sandbox", "bytes")).containers.size).toBe(0);
  });

  test("a mount of a volume that the pod does not have is refused", async () => {
    const { id } = await bench.sandbox();
    await expect(bench.start(id, { does: "run" }, { mounts: [at("nothing", "/x")] })).rejects.toMatchObject({
      code: "volume-failed",
    });
  });
});
