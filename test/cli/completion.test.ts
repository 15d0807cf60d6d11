import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COMMANDS } from "../../src/cli/registry.ts";
import { type Served, serve } from "../api/fake-backend.ts";
import { CliBackend } from "./support/backend.ts";
import { cli, MAIN } from "./support/run.ts";

const run = promisify(execFile);
let served: Served;

beforeAll(async () => {
  const backend = new CliBackend();
  backend.set({ name: "web", containers: ["app", "side"] });
  backend.set({ name: "worker" });
  backend.set({ name: "api", namespace: "shop" });
  served = await serve({ backend });
});
afterAll(() => served.close());

/** The candidates for a command line whose last word is half typed. */
async function complete(words: readonly string[], shell = "zsh"): Promise<string[]> {
  const { code, stdout } = await cli(["__complete", "--shell", shell, "--", ...words], {
    GANTRY_ROOT: served.directory,
  });
  expect(code).toBe(0);
  return stdout.split("\n").flatMap((line) => (line === "" ? [] : [line.split("\t")[0] ?? ""]));
}

describe("what a half-typed command line can go on with", () => {
  test("commands", async () => {
    expect(await complete(["st"])).toEqual(["status"]);
    const shown = Object.entries(COMMANDS).filter(([, { group }]) => group !== "");
    expect(await complete([""])).toEqual(shown.map(([name]) => name));
    expect(await complete(["help", "lo"])).toEqual(["logs"]);
  });

  test.each([
    [
      ["logs", "w"],
      ["web", "worker"],
    ],
    [
      ["logs", ""],
      ["web", "worker", "shop/api"],
    ],
    [["logs", "-n", "shop", ""], ["api"]],
    [["-n", "shop", "logs", ""], ["api"]],
    [["restart", "web", "w"], ["worker"]],
    [
      ["logs", "web", "-c", ""],
      ["app", "side"],
    ],
    [["logs", "web", "--container=s"], ["--container=side"]],
    [["status", "-o", "j"], ["json"]],
    [
      ["logs", "-o", ""],
      ["table", "json"],
    ],
    [
      ["logs", "-n", ""],
      ["default", "shop"],
    ],
    [
      ["wait", "web", "--for", ""],
      ["ready", "succeeded", "deleted"],
    ],
    [["logs", "--fol"], ["--follow"]],
    [
      ["image", ""],
      ["ls", "pull", "import", "export", "verify", "rm", "gc"],
    ],
    [["image", "rm", "local"], ["localhost/hello:1"]],
    [["completion", "z"], ["zsh"]],
    [["apply", "-f", "x"], [":files"]],
    [["validate", "x"], [":files"]],
    [["--root", "x"], [":files"]],
    [["exec", "web", "--", "l"], []],
    [["nosuch", ""], []],
    [["logs", "web", "x"], []],
  ])("%j", async (words, expected) => expect(await complete(words)).toEqual(expected));

  test("bash breaks words at '=' and ':', and is answered for the part after them", async () => {
    expect(await complete(["wait", "web", "--for", "=", "re"], "bash")).toEqual(["ready"]);
    expect(await complete(["image", "rm", "localhost/hello", ":", ""], "bash")).toEqual(["1"]);
  });

  test("without a daemon there are no names, and no complaint", async () => {
    const { code, stdout, stderr } = await cli(["__complete", "--", "--root", "/nowhere", "logs", ""]);
    expect([code, stdout, stderr]).toEqual([0, "", ""]);
  });
});

describe("the scripts", () => {
  test("bash: a real shell completes with it", async () => {
    const directory = await mkdtemp(join(tmpdir(), "gantry-bash-"));
    try {
      const { stdout: script } = await cli(["completion", "bash"]);
      await writeFile(join(directory, "gantry"), `#!/bin/sh\nexec '${process.execPath}' '${MAIN}' "$@"\n`, {
        mode: 0o755,
      });
      await writeFile(join(directory, "completion.bash"), script);
      const ask = `source '${directory}/completion.bash'; COMP_WORDS=(gantry logs w); COMP_CWORD=2; _gantry; printf '%s\\n' "\${COMPREPLY[@]}"`;
      const env = { PATH: `${directory}:${process.env["PATH"] ?? ""}`, GANTRY_ROOT: served.directory, HOME: directory };
      const { stdout } = await run("bash", ["-c", ask], { env });
      expect(stdout).toBe("web\nworker\n");
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  });

  test.each(["zsh", "fish"])("%s: asks gantry itself", async (shell) => {
    const { code, stdout } = await cli(["completion", shell]);
    expect(code).toBe(0);
    expect(stdout).toContain(`__complete --shell ${shell} --`);
  });
});
