import { expect, test } from "vitest";
import { closingLine, countResults } from "./counts.ts";

const file = (status: string, ...tests: string[]) => ({
  status,
  assertionResults: tests.map((status) => ({ status })),
});

test("counts tests by their outcome", () => {
  const report = { testResults: [file("passed", "passed", "passed", "skipped"), file("failed", "failed", "passed")] };
  expect(countResults(report, false)).toEqual({ passed: 3, failed: 1, skipped: 1 });
});

test("a file that fails outside its tests is one failure", () => {
  const report = { testResults: [file("failed"), file("failed", "passed")] };
  expect(countResults(report, false)).toEqual({ passed: 1, failed: 2, skipped: 0 });
});

test("a run that failed though no test did is a failure, and so is one without tests or report", () => {
  expect(countResults({ testResults: [file("passed", "passed")] }, false).failed).toBe(1);
  expect(countResults({ testResults: [] }, true).failed).toBe(1);
  expect(countResults(undefined, true).failed).toBe(1);
});

test("the closing line names skipped tests only where there are some", () => {
  expect(closingLine({ passed: 12, failed: 0, skipped: 0 })).toBe("12 passed, 0 failed");
  expect(closingLine({ passed: 12, failed: 1, skipped: 2 })).toBe("12 passed, 1 failed, 2 skipped");
});
