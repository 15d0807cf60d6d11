/** What others changed of a cgroup, on plain files that stand for the kernel's; the real ones are test/e2e/git.test.ts's. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CgroupHost } from "../../src/sandbox/cgroup/host.ts";
import { limitFiles, mendFreeze, mendLimits } from "../../src/sandbox/cgroup/mend.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "gantry-mend-"));
  mkdirSync(join(root, "pod"));
});
afterEach(() => rmSync(root, { recursive: true }));

const host = (unified: boolean): CgroupHost => ({
  unified,
  swapLimit: !unified,
  roots: [root],
  controller: () => root,
});
const write = (files: Record<string, string>): void => {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(root, "pod", name), `${text}\n`);
};
const read = (name: string): string => readFileSync(join(root, "pod", name), "utf8").trim();

const LIMITED = { memoryLimitBytes: 64_000_000, cpuQuotaUs: 50_000, cpuShares: 102, pidsLimit: 100 };

test("v2: only what was changed is put back, and each change is told", () => {
  const rounded = "63999488";
  const limits = limitFiles(LIMITED, host(true), true);
  write({ "memory.max": rounded, "cpu.max": "50000 100000", "pids.max": "100" });
  expect(mendLimits(host(true), "pod", limits)).toEqual([]);
  write({ "memory.max": "max", "cpu.max": "1000 100000" });
  expect(mendLimits(host(true), "pod", limits)).toEqual([
    `the memory limit was changed by hand from 64000000 to none; it was put back`,
    "the CPU limit was changed by hand from 50000 100000 to 1000 100000; it was put back",
  ]);
  expect([read("memory.max"), read("cpu.max")]).toEqual(["64000000", "50000 100000"]);
});

test("v1: a limit where there is to be none goes; what this kernel does not have is left alone", () => {
  const limits = limitFiles({}, host(false), true);
  write({ "memory.limit_in_bytes": "9223372036854771712", "cpu.cfs_quota_us": "-1" });
  expect(mendLimits(host(false), "pod", limits)).toEqual([]);
  write({ "memory.limit_in_bytes": "4096", "pids.max": "5" });
  expect(mendLimits(host(false), "pod", limits)).toEqual([
    "the memory limit was changed by hand from none to 4096; it was put back",
    "the limit of processes was changed by hand from none to 5; it was put back",
  ]);
  expect([read("memory.limit_in_bytes"), read("pids.max")]).toEqual(["-1", "max"]);
  expect(limitFiles({}, host(false), false)).toEqual([]);
});

test("only a cgroup that was frozen itself is let go on", () => {
  expect(mendFreeze(host(true), "pod")).toBe(false);
  write({ "cgroup.freeze": "1" });
  expect(mendFreeze(host(true), "pod")).toBe(true);
  expect(read("cgroup.freeze")).toBe("0");
  write({ "freezer.self_freezing": "0", "freezer.state": "FROZEN" });
  expect(mendFreeze(host(false), "pod")).toBe(false);
  write({ "freezer.self_freezing": "1" });
  expect(mendFreeze(host(false), "pod")).toBe(true);
  expect(read("freezer.state")).toBe("THAWED");
});
