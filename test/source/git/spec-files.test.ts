/** Sources that were added by hand: what is wrong with their files, and what the command line makes of them. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { fieldOf } from "../../../src/cli/commands/sync-settings.ts";
import { readSpecFiles, readSpecInput, specFolder, writeSpecFile } from "../../../src/source/git/spec-files.ts";

let etc: string;
beforeEach(() => {
  etc = mkdtempSync(join(tmpdir(), "gantry-specs-"));
  mkdirSync(specFolder(etc));
});
afterEach(() => rmSync(etc, { recursive: true }));
const write = (name: string, text: string): string => {
  const path = join(specFolder(etc), name);
  writeFileSync(path, text);
  return path;
};

test("a broken file is told with line and column, and keeps no other from being read", async () => {
  await writeSpecFile(etc, { name: "good", url: "/srv/pods.git" });
  const typo = write("typo.yaml", "name: typo\nurl: /x\nintervalSeconds: 1\nbrnach: main\n");
  const yaml = write("yaml.yaml", "name: [\n");
  const other = write("other.yaml", "url: /x\nname: another\n");
  const { specs, broken } = await readSpecFiles(etc);
  expect(specs.map(({ name }) => name)).toEqual(["good"]);
  expect(broken.map(({ name, message }) => [name, message])).toEqual([
    ["other", `${other}:2:1: name: must be other, as the file is called`],
    [
      "typo",
      `${typo}:3:1: intervalSeconds: 1 is too small: the least is 5; ${typo}:4:1: brnach: unknown setting (did you mean 'branch'?)`,
    ],
    ["yaml", expect.stringContaining(`${yaml}:2:1: `)],
  ]);
});

test("what stands in a file is read as it was written, and nothing outside the folder", async () => {
  await writeSpecFile(etc, { name: "good", url: "/srv/pods.git", branch: "main" });
  expect(await readSpecInput(etc, "good")).toEqual({ name: "good", url: "/srv/pods.git", branch: "main" });
  expect(await readSpecInput(etc, "none")).toBe(undefined);
  expect(await readSpecInput(etc, "../sources.d/good")).toBe(undefined);
});

test("settings are taken back by the names of their options", () => {
  expect(["branch", "--interval", "no-prune", "ssh-key", "gpg"].map(fieldOf)).toEqual([
    ...["branch", "intervalSeconds", "prune", "sshKey", "verify"],
  ]);
  expect(() => fieldOf("name")).toThrow("there is no setting");
});
