import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeDirectory } from "../../src/system/make-directory.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "make-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

test("makes every level, also when some are there, also twice at once", async () => {
  await makeDirectory(join(directory, "a"), 0o755);
  const deep = join(directory, "a/b/c");
  await Promise.all([makeDirectory(deep, 0o711), makeDirectory(deep, 0o711)]);
  expect(statSync(join(directory, "a/b")).mode & 0o777).toBe(0o711);
  await makeDirectory(deep, 0o711);
});

test("ends with an error where nothing can be made", async () => {
  await expect(makeDirectory("/proc/nothing/here", 0o755)).rejects.toMatchObject({ code: "ENOENT" });
  writeFileSync(join(directory, "file"), "");
  await expect(makeDirectory(join(directory, "file"), 0o755)).rejects.toMatchObject({ code: "EEXIST" });
  await expect(makeDirectory(join(directory, "file/below"), 0o755)).rejects.toMatchObject({ code: "ENOTDIR" });
});
