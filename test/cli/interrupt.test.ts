import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { cli } from "./support/run.ts";

let directory: string;
let others: ((...args: unknown[]) => void)[];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "interrupt-"));
  // The signals of this test are not meant for the test runner.
  others = process.listeners("SIGINT").map((listener) => listener as (...args: unknown[]) => void);
  process.removeAllListeners("SIGINT");
});
afterEach(() => {
  for (const listener of others) process.on("SIGINT", listener);
  rmSync(directory, { recursive: true });
});

// A busy machine takes its time to load it, and a command that takes too long to end is cut short.
beforeAll(() => import("../../src/daemon.ts"));

test("Ctrl-C while the daemon is still being loaded: it begins nothing, and leaves no pod behind", async () => {
  const root = join(directory, "root");
  const running = cli(["daemon", "--root", root, "--manifests", directory, "--stop-pods-on-exit"]);
  process.emit("SIGINT", "SIGINT");
  expect(await running).toEqual({ code: 130, stdout: "", stderr: "" });
  expect(existsSync(root)).toBe(false);
  expect(process.listenerCount("SIGINT")).toBe(0);
});
