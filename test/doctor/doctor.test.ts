import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { defaultConfig } from "../../src/config/index.ts";
import { diagnose, runDoctor } from "../../src/doctor/index.ts";
import { exec } from "../../src/system/exec.ts";
import { layout, type Paths } from "../../src/system/paths.ts";
import { cgroups } from "../setup/leftovers.ts";

let paths: Paths;

beforeEach(async () => {
  paths = layout(await mkdtemp(join(tmpdir(), "gantry-doctor-")));
});
afterEach(() => rm(paths.root, { recursive: true, force: true }));

test("this host is looked at; what the tests need is there", async () => {
  const checks = await runDoctor({ paths, config: defaultConfig(paths) });
  for (const name of ["overlayfs", "bridge", "veth", "nftables", "CNI plugins", "conmon", "CNI network"]) {
    expect(checks.find((check) => check.name === name)).toMatchObject({ status: "ok" });
  }
  expect(checks.map((check) => check.name)).toEqual(
    expect.arrayContaining(["privileges", "kernel", "cgroups", "KVM", "daemon", "time"]),
  );
  for (const name of ["age", "sshd", "docker-registry", "gcc"])
    expect(checks.map((check) => check.name)).not.toContain(name);
  expect(cgroups().filter((cgroup) => cgroup.includes(paths.rootId))).toEqual([]);
});

test("a broken configuration is one of the findings", async () => {
  await mkdir(dirname(paths.configFile), { recursive: true });
  await writeFile(paths.configFile, "log: {level: loud}\n");
  const findings = await diagnose({ paths });
  expect(findings[0]).toMatchObject({
    name: "configuration",
    status: "error",
    message: expect.stringContaining(`${paths.configFile}:1:7`),
  });
  expect(findings.length).toBeGreaterThan(10);
});

const checksSchema = z.array(
  z.object({ name: z.string(), status: z.string(), found: z.string(), mend: z.string().optional() }),
);

test("a plain user gets an answer too", async () => {
  const index = fileURLToPath(new URL("../../src/doctor/index.ts", import.meta.url));
  const system = fileURLToPath(new URL("../../src/system/paths.ts", import.meta.url));
  const script = `const { runDoctor } = await import(${JSON.stringify(index)}); const { layout } = await import(${JSON.stringify(system)});
    process.setgroups([]); process.setgid(65534); process.setuid(65534);
    console.log(JSON.stringify(await runDoctor({ paths: layout(${JSON.stringify(join(paths.root, "none"))}) })));`;
  const { stdout } = await exec(process.execPath, ["--input-type=module", "-e", script]);
  const checks = checksSchema.parse(JSON.parse(stdout));
  expect(checks.find((check) => check.name === "privileges")).toMatchObject({
    status: "fail",
    mend: expect.stringContaining("root"),
  });
  expect(checks.find((check) => check.name === "OCI runtime crun")?.status).toBe("ok");
  expect(checks.find((check) => check.name === "nft")?.status).toBe("ok");
});
