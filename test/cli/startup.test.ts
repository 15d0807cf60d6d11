import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Served, serve } from "../api/fake-backend.ts";
import { CliBackend } from "./support/backend.ts";
import { MAIN } from "./support/run.ts";

const run = promisify(execFile);
let served: Served;
let scratch: string;

/** Notes down every module that is loaded, and writes the list when the process ends. */
const RECORDER = `
import { registerHooks } from "node:module";
import { writeFileSync } from "node:fs";
const urls = [];
registerHooks({ load(url, context, next) { urls.push(url); return next(url, context); } });
process.on("exit", () => writeFileSync(process.env.LOADED, urls.join("\\n")));
`;

beforeAll(async () => {
  const backend = new CliBackend();
  backend.set({ name: "web" });
  served = await serve({ backend });
  scratch = await mkdtemp(join(tmpdir(), "gantry-startup-"));
  await writeFile(join(scratch, "recorder.mjs"), RECORDER);
});
afterAll(async () => {
  await served.close();
  await rm(scratch, { recursive: true, force: true });
});

async function loadedBy(args: readonly string[]): Promise<string[]> {
  const loaded = join(scratch, "loaded");
  const recorder = pathToFileURL(join(scratch, "recorder.mjs")).href;
  await run(process.execPath, ["--import", recorder, MAIN, "--root", served.directory, ...args], {
    env: { ...process.env, LOADED: loaded },
  });
  return (await readFile(loaded, "utf8")).split("\n");
}

const HEAVY = /node_modules\/(zod|yaml|fastify|xstate|pino|ws|chokidar)\/|src\/(daemon|manifest|sandbox|image)\//;

// What is loaded decides how long the command takes to start; a stray import is easily made and hardly noticed.
test.each([
  [["status"]],
  [["status", "web", "-o", "json"]],
  [["logs", "--help"]],
  [["version"]],
  [["__complete", "--", "lo"]],
])("gantry %j loads nothing heavy", async (args) => {
  const urls = await loadedBy(args);
  expect(urls.length).toBeGreaterThan(5);
  expect(urls.filter((url) => HEAVY.test(url))).toEqual([]);
});

test("one command loads no other", async () => {
  const commands = (await loadedBy(["status"])).filter((url) => url.includes("/cli/commands/"));
  expect(commands.map((url) => url.split("/").at(-1))).toEqual(["status.ts"]);
});
