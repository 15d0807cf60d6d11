import { chmodSync, copyFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { findMissing, isStatic } from "../../src/setup/find.ts";
import type { Requirement } from "../../src/setup/requirements.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "find-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function wanted(tool: string, more: Partial<Requirement> = {}): Requirement {
  const packages = { debian: tool, fedora: tool, arch: tool, alpine: tool, suse: tool };
  return { tool, purpose: "is looked for", version: "1", packages, ...more };
}

function missing(requirement: Requirement): boolean {
  return findMissing([requirement], directory).length === 1;
}

describe("findMissing", () => {
  test("takes an executable file in PATH, and nothing else", () => {
    const tool = wanted("gantry-test-tool");
    expect(missing(tool)).toBe(true);
    writeFileSync(join(directory, tool.tool), "#!/bin/sh\n");
    expect(missing(tool)).toBe(true);
    chmodSync(join(directory, tool.tool), 0o755);
    expect(missing(tool)).toBe(false);
  });

  test("looks where administrators' tools are even if PATH does not", () => {
    expect(findMissing([wanted("mount")], "/nowhere")).toEqual([]);
  });

  test("looks for paths instead of a name when there are some", () => {
    expect(missing(wanted("a shell", { paths: ["/nowhere/sh", "/bin/sh"] }))).toBe(false);
    expect(missing(wanted("sh", { paths: ["/nowhere/sh"] }))).toBe(true);
  });

  test("does not take a dynamically linked program for a static one", () => {
    copyFileSync("/bin/sh", join(directory, "gantry-test-tool"));
    expect(missing(wanted("gantry-test-tool"))).toBe(false);
    expect(missing(wanted("gantry-test-tool", { mustBeStatic: true }))).toBe(true);
  });
});

describe("isStatic", () => {
  test("tells busybox-static from a shell and from things that are no program", () => {
    expect(isStatic("/bin/busybox")).toBe(true);
    expect(isStatic("/bin/sh")).toBe(false);
    writeFileSync(join(directory, "script"), "#!/bin/sh\n");
    expect(isStatic(join(directory, "script"))).toBe(false);
    writeFileSync(join(directory, "cut"), Buffer.from([0x7f, 0x45, 0x4c, 0x46]));
    expect(isStatic(join(directory, "cut"))).toBe(false);
    expect(isStatic(join(directory, "absent"))).toBe(false);
  });
});
