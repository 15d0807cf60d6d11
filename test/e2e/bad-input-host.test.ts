import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, rmSync, statfsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { appearedPids, pidsOf, podText } from "./harness/sketch.ts";
import { eventually, runCli, type TestHost, testHost } from "./harness.ts";

/** The host itself is in a bad way: pods that run go on, and whoever asks is told. */

async function withSteadyPod(host: TestHost): Promise<readonly number[]> {
  host.write("steady.yaml", podText("steady"));
  await host.waitReady("steady");
  return appearedPids(host.root, "steady");
}

async function seen(host: TestHost, pattern: RegExp): Promise<string> {
  return eventually(
    async () => {
      const { stdout } = await host.gantry("status");
      return pattern.test(stdout) && stdout;
    },
    { what: `${pattern} in status`, explain: () => host.explain() },
  );
}

describe("the manifest folder", () => {
  test("disappears and comes back", async () => {
    await using host = testHost();
    await host.startDaemon();
    const steady = await withSteadyPod(host);
    renameSync(host.manifests, `${host.manifests}-away`);
    await seen(host, /Held as it is:\n.*is not there/);
    expect((await host.gantry("events", "--types", "Warning")).stdout).toMatch(/SourceHeld.*is not there/);
    expect((await host.gantry("status", "--exit-code")).code).toBe(1);
    expect(pidsOf(host.root, "steady")).toEqual(steady);
    // Not even a new daemon takes it for "no pods wanted".
    await host.stopDaemon("SIGKILL");
    await host.startDaemon();
    await seen(host, /Held as it is:/);
    expect(pidsOf(host.root, "steady")).toEqual(steady);
    renameSync(`${host.manifests}-away`, host.manifests);
    await eventually(async () => (await host.gantry("status", "--exit-code")).code === 0, {
      explain: () => host.explain(),
    });
    expect((await host.gantry("events")).stdout).toContain("SourceBack");
    expect(pidsOf(host.root, "steady")).toEqual(steady);
    host.remove("steady.yaml");
    await host.waitGone("steady");
  });

  test("is unmounted and mounted again", async () => {
    await using host = testHost();
    const disk = join(host.directory, "disk");
    mkdirSync(disk);
    execFileSync("mount", ["--bind", disk, host.manifests]);
    await host.startDaemon();
    const steady = await withSteadyPod(host);
    execFileSync("umount", [host.manifests]);
    await seen(host, /Held as it is:\n.*another folder is there now/);
    expect(pidsOf(host.root, "steady")).toEqual(steady);
    execFileSync("mount", ["--bind", disk, host.manifests]);
    await eventually(async () => (await host.gantry("status", "--exit-code")).code === 0, {
      explain: () => host.explain(),
    });
    expect(pidsOf(host.root, "steady")).toEqual(steady);
    host.remove("steady.yaml");
    await host.waitGone("steady");
    await host.stopDaemon();
    execFileSync("umount", [host.manifests]);
  });
});

describe("the state directory", () => {
  test("is a file", async () => {
    await using host = testHost({ withImages: false });
    const root = join(host.directory, "file");
    writeFileSync(root, "");
    const { code, stderr } = await runCli(["daemon", "--root", root, "--manifests", host.manifests]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^error: .*file/m);
    expect(stderr).toMatch(/^hint: .*--root/m);
    expect(stderr).not.toContain("fault of Gantry");
  });

  test("can't be written to", async () => {
    await using host = testHost({ withImages: false });
    const root = join(host.directory, "readonly");
    mkdirSync(root);
    execFileSync("mount", ["-t", "tmpfs", "-o", "ro,size=1m", "none", root]);
    try {
      const { code, stderr } = await runCli(["daemon", "--root", root, "--manifests", host.manifests]);
      expect(code).toBe(1);
      expect(stderr).toMatch(/^error: .*[Rr]ead-only/m);
      expect(stderr).toMatch(/^hint: /m);
      expect(stderr).not.toContain("fault of Gantry");
    } finally {
      execFileSync("umount", [root]);
    }
  });

  test("is full: what runs goes on, what is new is told why not, and comes when there is room", async () => {
    await using host = testHost();
    // All that Gantry keeps, on a small disk.
    const copy = join(host.directory, "copy");
    renameSync(host.root, copy);
    mkdirSync(host.root);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=48m,mode=755", "none", host.root]);
    try {
      execFileSync("cp", ["-a", `${copy}/.`, host.root]);
      rmSync(copy, { recursive: true });
      await host.startDaemon();
      const steady = await withSteadyPod(host);
      const filler = join(host.root, "filler");
      const { bavail, bsize } = statfsSync(host.root);
      expect(() => writeFileSync(filler, Buffer.alloc(bavail * bsize + 1))).toThrow("ENOSPC");
      host.write("new.yaml", podText("new"));
      await seen(host, /new\.yaml:1:1: error: can't be acted on: .*disk is full\n\s*hint: Free some disk space/);
      expect(pidsOf(host.root, "steady")).toEqual(steady);
      expect(host.daemon?.exitCode()).toBeUndefined();
      const imported = await host.gantryWith(
        { input: Buffer.alloc(2_000_000, "x") },
        "image",
        "import",
        "-",
        "localhost/full:1",
      );
      expect([imported.code, imported.stderr]).toEqual([1, expect.stringMatching(/no space|disk|full|image/i)]);
      rmSync(filler);
      await host.waitFor(
        "new",
        (pod) => pod.status.conditions.some(({ type, status }) => type === "Ready" && status === "True"),
        "Ready",
        60_000,
      );
      expect(pidsOf(host.root, "steady")).toEqual(steady);
      for (const name of ["new", "steady"]) host.remove(`${name}.yaml`);
      for (const name of ["new", "steady"]) await host.waitGone(name);
      await host.stopDaemon();
      expect(existsSync(host.paths.database)).toBe(true);
    } finally {
      rmSync(join(host.root, "filler"), { force: true });
      await host.removePods();
      await host.stopDaemon();
      execFileSync("umount", ["-R", host.root]);
    }
  });
});
