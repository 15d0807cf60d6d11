import { appendFile, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ContainerMount, PreparedVolume } from "../../../src/sandbox/driver.ts";
import { argumentsOf } from "../../../src/sandbox/namespace/proc.ts";
import { until, useBench } from "../../contract/harness.ts";
import { type MicrovmHarness, microvmHarness } from "../../contract/microvm-harness.ts";

async function hostDirectory(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), "gantry-share-"));
  onTestFinished(() => rm(directory, { recursive: true, force: true }));
  return directory;
}
const share = (name: string, hostPath: string, readOnly = false): PreparedVolume => ({
  ...{ name, kind: "hostPath", hostPath },
  ...(readOnly ? { readOnly } : {}),
});
const at = (volume: string, mountPath: string, readOnly = false): ContainerMount => ({
  ...{ volume, mountPath, readOnly, propagation: "None" },
});

/** Processes that serve files below `directory`. */
async function servers(directory: string): Promise<number[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((pid) => argumentsOf(pid).some((arg) => arg.startsWith(`source=${directory}/`)));
}

describe("hostPath volumes of a micro-VM", () => {
  const bench = useBench({ inside: true, hostKernel: false }, microvmHarness);

  test("a write on either side is seen on the other, by every container, in a clone of a template", async () => {
    const directory = await hostDirectory();
    await mkdir(join(directory, "data"));
    await writeFile(join(directory, "data/from-host"), "one\n");
    await writeFile(join(directory, "file"), "single\n");
    await writeFile(join(directory, "secret"), "not shared\n");
    const volumes = [
      share("data", join(directory, "data")),
      share("file", join(directory, "file")),
      share("etc", directory, true),
    ];
    const { id, detail } = await bench.sandbox({ volumes });
    expect(detail["boot"]).toMatch(/^clone/);
    const mounts = [at("data", "/data"), at("file", "/config/file"), at("etc", "/read", true)];
    const user = { uid: 1234, gid: 1234, supplementalGroups: [] };
    const a = await bench.start(id, { does: "run" }, { mounts });
    const b = await bench.start(id, { does: "run" }, { mounts: [at("data", "/in", true)], user });
    const sh = async (app: string, script: string) =>
      (await bench.exec(id, app, ["sh", "-c", `exec 2>&1; ${script}`])).stdout;

    expect(await sh(a, "cat /data/from-host /config/file /read/secret")).toBe("one\nsingle\nnot shared\n");
    expect(await sh(b, "cat /in/from-host; touch /in/x")).toMatch(/^one\n.*Read-only/);
    await appendFile(join(directory, "data/from-host"), "two\n");
    expect(await sh(a, "cat /data/from-host")).toBe("one\ntwo\n");
    await writeFile(join(directory, "file"), "changed\n");
    expect(
      await sh(
        a,
        "cat /config/file; echo more >> /config/file; echo new > /data/from-guest; chown 7:8 /data/from-guest",
      ),
    ).toBe("changed\n");
    expect(await readFile(join(directory, "file"), "utf8")).toBe("changed\nmore\n");
    expect(await readFile(join(directory, "data/from-guest"), "utf8")).toBe("new\n");
    expect(await stat(join(directory, "data/from-guest"))).toMatchObject({ uid: 7, gid: 8 });
    expect(await sh(b, "cat /in/from-guest; rm /in/from-guest")).toMatch(/^new\n.*Read-only/);
    await rm(join(directory, "data/from-guest"));
    expect(await sh(b, "ls /in")).toBe("from-host\n");
    // Many bytes, and nothing of the host beyond the volumes.
    expect(
      await sh(a, "dd if=/dev/zero of=/data/big bs=1M count=20 2>/dev/null; stat -c %s /data/big; ls /data/.."),
    ).toMatch(/^20971520\n(?!.*secret)/);
    expect((await stat(join(directory, "data/big"))).size).toBe(20 << 20);
    expect(await sh(a, "touch /read/x; mknod /data/null c 1 3; ls /data")).toMatch(
      /Read-only.*\n.*mknod.*\n(?!.*null)/,
    );
  });

  test("the server goes with its VM, and does not care about the daemon", async () => {
    const directory = await hostDirectory();
    await writeFile(join(directory, "x"), "here\n");
    const { id } = await bench.sandbox({ volumes: [share("data", directory)] });
    const app = await bench.start(id, { does: "run" }, { mounts: [at("data", "/data")] });
    const { paths } = bench.harness as MicrovmHarness;
    expect(await servers(join(paths.run, "vms", id))).not.toEqual([]);
    bench.driver = await bench.harness.restart();
    await bench.driver.start(bench.signal);
    expect(await bench.exec(id, app, ["cat", "/data/x"])).toMatchObject({ stdout: "here\n" });
    process.kill(Number((await bench.find(id))?.detail["qemuPid"]), "SIGKILL");
    await until("it ends", async () => (await servers(join(paths.run, "vms", id))).length === 0);
  });
});
