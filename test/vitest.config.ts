import { defineConfig } from "vitest/config";
import { LongestFirst } from "./setup/longest-first.ts";

/** A test waits for conditions with deadlines of its own; these only end what hangs. */
const common = {
  root: new URL("..", import.meta.url).pathname,
  testTimeout: 60_000,
  hookTimeout: 120_000,
  pool: "forks",
} as const;

/** The kinds run one after the other; within a kind, two files at a time unless it says otherwise. */
export default defineConfig({
  test: {
    ...common,
    teardownTimeout: 60_000,
    maxWorkers: 2,
    sequence: { sequencer: LongestFirst },
    globalSetup: ["test/setup/global.ts"],
    projects: [
      {
        test: {
          ...common,
          name: "unit",
          include: ["test/**/*.test.ts"],
          exclude: ["test/contract/**", "test/e2e/**", "test/sandbox/microvm/**"],
          sequence: { groupOrder: 0 },
        },
      },
      { test: { ...common, name: "contract", include: ["test/contract/**/*.test.ts"], sequence: { groupOrder: 1 } } },
      {
        test: {
          ...common,
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          globalSetup: ["test/e2e/harness/fixture.ts"],
          // They wait for pods more than they work.
          maxWorkers: 3,
          testTimeout: 120_000,
          sequence: { groupOrder: 2 },
        },
      },
      {
        test: {
          ...common,
          name: "microvm",
          include: ["test/sandbox/microvm/**/*.test.ts"],
          testTimeout: 120_000,
          sequence: { groupOrder: 3 },
        },
      },
    ],
  },
});
