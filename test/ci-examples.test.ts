/** The pipelines of examples/ci, whose commands are run as a runner would: on a good change, and on a broken one. */
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { type ExecResult, exec } from "../src/system/exec.ts";
import { MAIN } from "./cli/support/run.ts";

let scratch: string;
let repo: string;
let base: string;
let env: Record<string, string>;
const sh = (script: string, more: Record<string, string> = {}): Promise<ExecResult> =>
  exec("bash", ["-e", "-o", "pipefail", "-c", script], { cwd: repo, env: { ...env, ...more }, okCodes: "any" });
const pod = (image: string): string =>
  `apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec:\n  containers: [{name: app, ${image}: "localhost/app:1"}]\n`;

beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), "gantry-pipelines-"));
  repo = join(scratch, "repo");
  await mkdir(join(repo, "pods"), { recursive: true });
  await mkdir(join(scratch, "bin"));
  await writeFile(join(scratch, "bin/gantry"), `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`);
  await chmod(join(scratch, "bin/gantry"), 0o755);
  env = {
    PATH: `${join(scratch, "bin")}:${process.env["PATH"]}`,
    HOME: scratch,
    GANTRY_ROOT: join(scratch, "root"),
    GIT_CONFIG_COUNT: "2",
    GIT_CONFIG_KEY_0: "user.name",
    GIT_CONFIG_VALUE_0: "T",
    GIT_CONFIG_KEY_1: "user.email",
    GIT_CONFIG_VALUE_1: "t@example.com",
  };
  await sh("git init -q . && echo hello > README && git add . && git commit -qm one");
  base = (await sh("git rev-parse HEAD")).stdout.trim();
});
afterEach(() => rm(scratch, { recursive: true, force: true }));

const commit = async (image: string): Promise<void> => {
  await writeFile(join(repo, "pods/web.yaml"), pod(image));
  await sh("git add -A && git commit -qm change");
};
const variables = z.record(z.string(), z.coerce.string());

test("GitHub Actions", async () => {
  const schema = z.object({
    jobs: z.object({
      manifests: z.object({
        env: variables,
        steps: z.array(z.object({ name: z.string().optional(), run: z.string().optional() })),
      }),
    }),
  });
  const { manifests } = schema.parse(parse(await readFile("examples/ci/github-actions.yml", "utf8"))).jobs;
  const summary = join(scratch, "summary");
  const step = async (name: string): Promise<ExecResult> => {
    const found = manifests.steps.find((candidate) => candidate.name === name)?.run ?? "false";
    return sh(found, { ...manifests.env, BASE: base, GITHUB_STEP_SUMMARY: summary });
  };
  await commit("image");
  expect(await step("Validate")).toMatchObject({ exitCode: 0, stdout: "" });
  expect(await step("Plan")).toMatchObject({ exitCode: 0 });
  expect(await readFile(summary, "utf8")).toContain("+ default/web: create");
  await commit("imag");
  expect(await step("Validate")).toMatchObject({
    exitCode: 1,
    stdout: expect.stringContaining("::error file=pods/web.yaml,line=5"),
  });
  expect(await step("Plan")).toMatchObject({ exitCode: 1 });
  expect(await step("SARIF")).toMatchObject({ exitCode: 0 });
  expect(JSON.parse(await readFile(join(repo, "gantry.sarif"), "utf8"))).toMatchObject({ version: "2.1.0" });
});

test("GitLab CI", async () => {
  const schema = z.object({ gantry: z.object({ variables, script: z.array(z.string()) }) });
  const { gantry } = schema.parse(parse(await readFile("examples/ci/gitlab-ci.yml", "utf8")));
  const job = () => sh(gantry.script.join("\n"), { ...gantry.variables, CI_MERGE_REQUEST_DIFF_BASE_SHA: base });
  await commit("image");
  expect(await job()).toMatchObject({ exitCode: 0, stdout: expect.stringContaining("+ default/web: create") });
  await commit("imag");
  expect(await job()).toMatchObject({ exitCode: 1 });
  const report: unknown = JSON.parse(await readFile(join(repo, "gl-code-quality-report.json"), "utf8"));
  expect(report).toMatchObject([{ location: { path: "pods/web.yaml", lines: { begin: 5 } } }]);
});

test("the pre-commit hook looks at what is staged", async () => {
  await cp("examples/ci/pre-commit", join(repo, ".git/hooks/pre-commit"));
  const file = join(repo, "pods/web.yaml");
  await writeFile(file, pod("imag"));
  const refused = await sh("git add -A && git commit -qm broken");
  expect(refused).toMatchObject({ exitCode: 1 });
  expect(`${refused.stdout}${refused.stderr}`).toContain("pods/web.yaml:5:");
  await writeFile(file, pod("image"));
  await sh("git add -A");
  await writeFile(file, "broken: [");
  expect(await sh("git commit -qm good")).toMatchObject({ exitCode: 0 });
});
