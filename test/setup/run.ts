import { spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Counts, closingLine, countResults } from "./counts.ts";
import { removeTree } from "./remove-tree.ts";

/** All checks, in the order in which they are cheap: types, lint, then the tests. The last line counts the tests. */

const bin = (name: string): string => join("node_modules", ".bin", name);

function step(
  title: string,
  command: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): boolean {
  console.log(`\n== ${title}`);
  const run = spawnSync(command, args, { stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env } });
  if (run.error !== undefined) console.error(`${command}: ${run.error.message}`);
  return run.status === 0;
}

const filters = process.argv.slice(2);
const checked = [step("types", bin("tsc"), ["--noEmit"]), step("lint", bin("biome"), ["ci", "."])].every((ok) => ok);

// A directory of its own for everything that the tests make, so that what they leave can be told from other things.
const temporary = mkdtempSync(join(tmpdir(), "gt-"));
chmodSync(temporary, 0o711); // pods with a user namespace have to get through
const report = join(temporary, "report.json");
let tested: boolean;
let counts: Counts;
try {
  const args = [
    "run",
    "--config",
    "test/vitest.config.ts",
    "--reporter=default",
    "--reporter=json",
    `--outputFile.json=${report}`,
    ...filters,
  ];
  tested = step("tests", bin("vitest"), args, { TMPDIR: temporary, GANTRY_CHECK_LEFTOVERS: "1" });
  counts = countResults(readReport(), tested);
} finally {
  await removeTree(temporary);
}
if (!checked) console.error("\nThe type check or the linter found something: see above.");
console.log(`\n${closingLine(counts)}`);
process.exitCode = checked && tested && counts.failed === 0 ? 0 : 1;

function readReport(): unknown {
  try {
    return JSON.parse(readFileSync(report, "utf8"));
  } catch {
    return undefined; // vitest fell over before it wrote one, and has said why
  }
}
