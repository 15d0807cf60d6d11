import { spawnSync } from "node:child_process";
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

/** `npm pack`, then `npm install -g` of what it made: what a user gets. */
let directory: string;
let gantry: string;

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), "pack-"));
  const quiet = ["--silent", "--no-audit", "--no-fund"];
  npm(["pack", ...quiet, "--pack-destination", directory]);
  const packed = readdirSync(directory).find((name) => name.endsWith(".tgz"));
  if (packed === undefined) throw new Error("npm pack made no package");
  const install = ["install", "--global", ...quiet, "--prefer-offline", "--prefix", join(directory, "prefix")];
  npm([...install, join(directory, packed)]);
  gantry = join(directory, "prefix", "bin", "gantry");
}, 300_000);

/** @throws Error with what it said: the compiler prints what it found to stdout */
function npm(args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync("npm", args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`npm ${args[0]} exited with ${status}:\n${stdout}${stderr}`);
}

afterAll(() => {
  rmSync(directory, { recursive: true, force: true });
});

function run(
  args: readonly string[],
  path = "/usr/sbin:/usr/bin:/sbin:/bin",
): { code: number | null; stdout: string; stderr: string } {
  const env = { PATH: path, HOME: directory, GANTRY_ROOT: join(directory, "root"), NO_COLOR: "1" };
  const { status, stdout, stderr } = spawnSync(gantry, args, { env, encoding: "utf8", cwd: "/" });
  return { code: status, stdout, stderr };
}

test("the installed gantry runs, under the Node.js that it brings, whatever the machine has", () => {
  const { code, stdout, stderr } = run(["version"]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout).toMatch(/Node\.js v2[4-9]\./);
});

test("every command is in the package", () => {
  for (const command of ["status", "validate", "plan", "apply", "image", "doctor", "config", "completion", "daemon"]) {
    const { code, stderr } = run([command, "--help"]);
    expect({ command, code, stderr }).toEqual({ command, code: 0, stderr: "" });
  }
});

test("it checks manifests", () => {
  const good = join(directory, "prefix/lib/node_modules/gantry/examples/minimal.yaml");
  expect(run(["validate", good]).code).toBe(0);
  const bad = join(directory, "bad.yaml");
  writeFileSync(
    bad,
    "apiVersion: v1\nkind: Pod\nmetadata: { name: x }\nspec: { containers: [{ name: a, imaeg: b }] }\n",
  );
  const { code, stdout, stderr } = run(["validate", bad]);
  expect(code).toBe(1);
  expect(stdout + stderr).toContain("imaeg");
});

test("the programs of micro-VMs are in it, compiled, so that no compiler is needed", () => {
  const programs = join(directory, "prefix/lib/node_modules/gantry/dist/sandbox/microvm/programs", process.arch);
  const names = readdirSync(programs).sort();
  expect(names.map((name) => name.replace(/-[0-9a-f]{16}$/, ""))).toEqual(["agent", "jailer", "readonly-memory"]);
  for (const name of names) accessSync(join(programs, name), constants.X_OK);
  const { checks } = JSON.parse(run(["doctor", "-o", "json"]).stdout);
  expect(checks).toContainEqual({ name: "micro-VM agent", status: "ok", message: "compiled" });
});

test("neither tests nor the set-up of a checkout are in it, and the licence is", () => {
  const root = join(directory, "prefix/lib/node_modules/gantry");
  expect(existsSync(join(root, "LICENSE"))).toBe(true);
  expect(readdirSync(root).sort()).toEqual(expect.arrayContaining(["CHANGELOG.md", "README.md", "dist", "examples"]));
  expect(existsSync(join(root, "dist/setup/setup.js"))).toBe(false);
  expect(existsSync(join(root, "test"))).toBe(false);
});
