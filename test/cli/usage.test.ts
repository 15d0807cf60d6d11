import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { flagsOf } from "../../src/cli/completion/words.ts";
import { exitCodeOf } from "../../src/cli/exit.ts";
import { COMMANDS } from "../../src/cli/registry.ts";
import type { CommandSpec } from "../../src/cli/spec.ts";
import { testWhere } from "../support/test-where.ts";
import { cli } from "./support/run.ts";

interface Listed {
  readonly words: readonly string[];
  readonly spec: CommandSpec;
}

/** Every command and subcommand there is. */
async function everyCommand(): Promise<Listed[]> {
  const listed: Listed[] = [];
  for (const [name, entry] of Object.entries(COMMANDS)) {
    const spec = await entry.load();
    listed.push({ words: [name], spec });
    for (const [sub, inner] of Object.entries(spec.subcommands ?? {})) listed.push({ words: [name, sub], spec: inner });
  }
  return listed;
}

const commands = await everyCommand();
const runnable = commands.filter(({ spec }) => spec.run !== undefined);
const named = (list: readonly Listed[]) => list.map((one): [string, Listed] => [one.words.join(" "), one]);

/** As many arguments as are required, all of the form of a pod's name. */
function required({ spec }: Listed): string[] {
  return (spec.arguments ?? []).filter(({ syntax }) => syntax.startsWith("<")).map(() => "bash");
}

let root = "";
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "gantry-cli-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

describe.each(named(commands))("gantry %s", (_name, command) => {
  const { words, spec } = command;

  test("--help has an example, and every option", async () => {
    const { code, stdout, stderr } = await cli([...words, "--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^Usage: gantry /);
    expect(stdout).toMatch(/\nExamples?:\n {2}\S/);
    for (const option of spec.options ?? []) for (const flag of flagsOf(option)) expect(stdout).toContain(flag);
  });

  test("help reads the same whichever way it is asked for", async () => {
    const [long, short, word] = await Promise.all([
      cli([...words, "--help"]),
      cli([...words, "-h"]),
      cli(["help", ...words]),
    ]);
    expect([short.stdout, word.stdout]).toEqual([long.stdout, long.stdout]);
  });

  test("an unknown flag is a usage error that says where to look", async () => {
    const { code, stdout, stderr } = await cli([...words, "--nosuchflag"]);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toBe(
      `error: unknown option '--nosuchflag'\nhint: Run 'gantry ${words[0]} --help' to see what there is.\n`,
    );
  });

  test("a flag that is nearly right gets the right one as a hint", async () => {
    const { code, stderr } = await cli([...words, "--namespac", "x"]);
    expect(code).toBe(2);
    expect(stderr).toContain("hint: Did you mean '--namespace'?");
  });
});

describe.each(named(runnable))("gantry %s", (_name, command) => {
  const { words, spec } = command;

  // There -o names a file.
  testWhere(spec.ownOutput !== true)("a wrong -o names the formats", async () => {
    const { code, stderr } = await cli([...words, ...required(command), "-o", "xml"]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: --output 'xml' is not known\nhint: Choose one of: table, .*json.*\.\n$/);
  });

  test.each(["", "Upper", "a/b", "a.b"])("-n %j is no namespace", async (name) => {
    const { code, stderr } = await cli([...words, ...required(command), "-n", name]);
    expect(code).toBe(2);
    expect(stderr).toContain("--namespace");
  });

  test("a flag without its value is a usage error", async () => {
    const { code, stderr } = await cli([...words, ...required(command), "-o"]);
    expect(code).toBe(2);
    expect(stderr).toContain("argument missing");
  });

  testWhere(spec.ownOutput !== true)("with -o json an error is JSON on stdout too", async () => {
    const { code, stdout } = await cli([...words, ...required(command), "-n", "Bad!", "-o", "json"]);
    expect(code).toBe(2);
    expect(JSON.parse(stdout)).toMatchObject({ kind: "Status", status: "Failure", reason: "usage" });
  });

  const needed = required(command).length;
  testWhere(needed > 0)("a missing argument is named", async () => {
    const { code, stderr } = await cli([...words]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/^error: missing required argument '/);
  });

  const variadic = (spec.arguments ?? []).some(({ syntax }) => syntax.includes("..."));
  testWhere(!variadic)("an argument too many is refused", async () => {
    const all = (spec.arguments ?? []).map(() => "bash");
    const { code, stderr } = await cli([...words, ...all, "surplus"]);
    expect(code).toBe(2);
    expect(stderr).toContain("too many arguments");
  });
});

describe("values of flags", () => {
  test.each([
    [["logs", "web", "--tail", "x"], "--tail 'x' is not a whole number"],
    [["logs", "web", "--since", "5"], "--since '5' has no unit"],
    [["logs", "web", "--since", ""], "--since needs a value"],
    [["wait", "web", "--for", "redy"], "--for 'redy' is not known"],
    [["wait", "web", "--timeout", "soon"], "--timeout 'soon' is not a duration"],
    [["wait", "Web"], "'Web' is not a pod"],
    [["wait", "a/web", "-n", "b"], "'a/web' names namespace 'a', and -n says 'b'"],
    [["status", "-w", "--exit-code"], "--watch and --exit-code exclude each other"],
    [["status", "-A", "-n", "x"], "-n and -A exclude each other"],
    [["events", "--types", "Bad"], "--types 'Bad' is not known"],
    [["delete"], "say which pods to delete"],
    [["delete", "web", "--all"], "exclude each other"],
    [["delete", "web", "-A"], "-A goes with --all"],
    [["delete", "web", "--grace-period", "1.5s"], "is not a whole number of seconds"],
    [["delete", "web", "--grace-period", "-1"], "is not a duration"],
    [["apply"], "say which manifests to apply"],
    [["apply", "-f", "-", "-f", "-"], "stdin ('-') can be read only once"],
    [["exec", "web", "ls"], "the command must stand after '--'"],
    [["exec", "web"], "missing required argument 'command'"],
    [["completion", "zssh"], "there is no completion for 'zssh'"],
    [["daemon", "--set", "nonsense"], "--set 'nonsense' is not a setting"],
    [["daemon", "--log-level", "loud"], "--log-level 'loud' is not known"],
  ])("gantry %j", async (args, message) => {
    const { code, stdout, stderr } = await cli(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(`error: `);
    expect(stderr).toContain(message);
    expect(stderr).toContain("\nhint: ");
  });
});

describe("without a daemon", () => {
  test.each([
    [["status"]],
    [["status", "web"]],
    [["status", "-w"]],
    [["describe", "web"]],
    [["logs", "web"]],
    [["exec", "web", "--", "ls"]],
    [["events"]],
    [["delete", "web"]],
    [["delete", "--all"]],
    [["restart", "web"]],
    [["wait", "web"]],
  ])("gantry %j says so and exits with 4", async (args) => {
    const { code, stdout, stderr } = await cli(["--root", root, ...args]);
    expect([code, stdout]).toEqual([4, ""]);
    expect(stderr).toContain("error: the daemon is not running\nhint: ");
    expect(stderr).toContain(root);
  });

  test("GANTRY_ROOT is where to look, and --root wins", async () => {
    const { stderr } = await cli(["status"], { GANTRY_ROOT: root });
    expect(stderr).toContain(root);
    const { stderr: other } = await cli(["status", "--root", "/nowhere"], { GANTRY_ROOT: root });
    expect(other).toContain("/nowhere/run/gantry.sock");
  });

  test("-v tells where an error came from", async () => {
    const { stderr } = await cli(["status", "--root", root, "-v"]);
    expect(stderr).toContain("caused by: ");
    expect(stderr).toContain("ENOENT");
  });
});

describe("the command itself", () => {
  test("nothing at all prints the help", async () => {
    const { code, stdout } = await cli([]);
    expect(code).toBe(0);
    for (const [name, { group }] of Object.entries(COMMANDS)) {
      if (group === "") expect(stdout).not.toContain(name);
      else expect(stdout).toContain(`  ${name} `);
    }
  });

  test.each([
    ["statsu", "status"],
    ["log", "logs"],
    ["evnets", "events"],
  ])("gantry %s: did you mean %s?", async (typed, meant) => {
    const { code, stderr } = await cli([typed]);
    expect(code).toBe(2);
    expect(stderr).toBe(`error: unknown command '${typed}'\nhint: Did you mean '${meant}'?\n`);
  });

  test("a command like no other", async () => {
    const { code, stderr } = await cli(["frobnicate"]);
    expect([code, stderr]).toEqual([
      2,
      "error: unknown command 'frobnicate'\nhint: Run 'gantry --help' to see what there is.\n",
    ]);
  });

  test("a group without a subcommand", async () => {
    const { code, stderr } = await cli(["image"]);
    expect(code).toBe(2);
    expect(stderr).toContain("gantry image --help");
  });

  test("errors have the exit codes that scripts rely on", () => {
    expect([
      exitCodeOf("usage"),
      exitCodeOf("not-found"),
      exitCodeOf("daemon-unreachable"),
      exitCodeOf("internal"),
    ]).toEqual([2, 3, 4, 1]);
  });
});
