/**
 * What `gantry validate` says of manifests as people have them. Beside each is what it must say, word for word: its
 * name with ".expected" at the end. 'npx vitest -u test/corpus' writes those anew; read the difference before it counts.
 */
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { count } from "../../src/cli/output/text.ts";
import type { Problem } from "../../src/manifest/index.ts";
import { cli, spawnCli } from "../cli/support/run.ts";

const FOLDER = "test/corpus";

const files = readdirSync(FOLDER, { recursive: true, encoding: "utf8" })
  .filter((name) => /\.(ya?ml|json)$/.test(name))
  .map((name) => join(FOLDER, name))
  .sort();

interface Report {
  readonly valid: boolean;
  readonly files: number;
  readonly objects: readonly { readonly place: { readonly file: string } }[];
  readonly problems: readonly Problem[];
}

let root: string;
let report: Report;
let lines: readonly string[];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "gantry-corpus-"));
  const [json, human] = await Promise.all([
    spawnCli(["--root", root, "validate", "-o", "json", FOLDER]),
    spawnCli(["--root", root, "validate", FOLDER]),
  ]);
  expect({ ...json, stdout: "" }).toEqual({ code: 1, signal: null, stdout: "", stderr: "" });
  expect({ ...human, stdout: "" }).toEqual({ code: 1, signal: null, stdout: "", stderr: "" });
  report = JSON.parse(json.stdout);
  lines = human.stdout.trimEnd().split("\n");
});
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** As it is printed, with the names of files as seen from their folder. */
function printed({ severity, place, field, message, hint }: Problem): string[] {
  const where = `${place.file}:${place.line}:${place.column}`;
  return [
    `${where}: ${severity}: ${field === "" ? "" : `${field}: `}${message}`,
    ...(hint === undefined ? [] : [`  hint: ${hint}`]),
  ];
}

describe("the corpus", () => {
  test("is large, and half of it is good", () => {
    expect(files.length).toBeGreaterThanOrEqual(75);
    const refused = new Set(report.problems.filter(isError).map(({ place }) => place.file)).size;
    expect(refused / files.length).toBeGreaterThan(0.4);
    expect(refused / files.length).toBeLessThan(0.65);
    expect(report).toMatchObject({ valid: false, files: files.length });
  });

  test("every expectation belongs to a manifest", () => {
    const expected = readdirSync(FOLDER, { recursive: true, encoding: "utf8" }).filter((name) =>
      name.endsWith(".expected"),
    );
    expect(expected.map((name) => join(FOLDER, name.replace(/\.expected$/, ""))).sort()).toEqual(files);
  });

  test.each(files)("%s", async (file) => {
    const problems = report.problems.filter(({ place }) => place.file === file);
    const objects = report.objects.filter(({ place }) => place.file === file).length;
    const verdict = problems.some(isError) ? "refused" : "accepted";
    const text = [`${verdict}, ${count(objects, "object")}`, ...problems.flatMap(printed), ""].join("\n");
    await expect(text.replaceAll(`${dirname(file)}/`, "")).toMatchFileSnapshot(`../../${file}.expected`);
  });

  test("people are told the same as scripts", () => {
    expect(lines.slice(0, -1)).toEqual(report.problems.flatMap(printed));
    expect(lines.at(-1)).toMatch(/^not valid: \d+ objects in \d+ files, \d+ errors, \d+ warnings$/);
  });

  test("one file by itself is judged as it is among all", async () => {
    const alone = ["apps/nginx.yaml", "apps/prometheus.yaml", "generated/list.json", "mistakes/typos.yaml"];
    for (const file of alone.map((name) => join(FOLDER, name))) {
      expect(existsSync(file)).toBe(true);
      const problems = report.problems.filter(({ place }) => place.file === file);
      const { code, stdout } = await cli(["--root", root, "validate", file]);
      expect(stdout.trimEnd().split("\n").slice(0, -1)).toEqual(problems.flatMap(printed));
      expect(code).toBe(problems.some(isError) ? 1 : 0);
    }
  });
});

function isError({ severity }: Problem): boolean {
  return severity === "error";
}
