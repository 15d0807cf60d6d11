import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeTempDir, sweepTempDirs } from "../../src/system/temp-dirs.ts";
import { removeTree } from "../setup/remove-tree.ts";

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "sweep-"));
});
afterEach(() => removeTree(parent));

test("what a dead process left goes, mounts and all; what a live one uses stays", async () => {
  const mine = await makeTempDir(parent);
  const dead = join(parent, basename(mine).replace(/^(\w+)-\d+-\d+/, "$1-1-1")); // process 1 began at another time
  mkdirSync(join(dead, "trial"), { recursive: true });
  execFileSync("mount", ["-t", "tmpfs", "tmpfs", join(dead, "trial")]);
  const asked: string[] = [];
  const errors: unknown[] = [];
  const swept = await sweepTempDirs(
    parent,
    (error) => errors.push(error),
    async (directory) => void asked.push(directory),
  );
  expect({ swept, asked, errors }).toEqual({ swept: 1, asked: [dead], errors: [] });
  expect(existsSync(mine)).toBe(true);
  expect(readdirSync(parent)).toEqual([basename(mine)]);
});
