import { describe, expect, test } from "vitest";
import type { Problem } from "../../src/manifest/index.ts";
import { doubtOf } from "../../src/reconcile/reports.ts";

const problem = (severity: Problem["severity"]): Problem => ({
  ...{ severity, place: { file: "/m/db.yaml", line: 3, column: 1 } },
  ...{ field: "", message: "is odd", hint: undefined, object: undefined },
});

describe("what no manifest has is gone", () => {
  test("when all sources can be read and say something", () => {
    expect(doubtOf(new Map(), [], [])).toBeUndefined();
    expect(doubtOf(new Map(), [problem("warning")], [])).toBeUndefined();
  });

  test("but not when it may be an accident, which is named", () => {
    expect(doubtOf(new Map([["folder /m", "is not there"]]), [], [])).toBe("folder /m is not there");
    expect(doubtOf(new Map(), [problem("error")], [])).toBe("/m/db.yaml has errors, and may be what claims it");
    expect(doubtOf(new Map(), [], ["folder /m"])).toBe("folder /m has no manifest at all, which may be an accident");
  });
});
