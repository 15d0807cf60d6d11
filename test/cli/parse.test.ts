import { describe, expect, test } from "vitest";
import { Flags } from "../../src/cli/flags.ts";
import { parseDurationMs } from "../../src/cli/parse/duration.ts";
import { parsePodRef } from "../../src/cli/parse/pod-name.ts";
import { GantryError } from "../../src/system/errors.ts";

function failure(run: () => unknown): GantryError {
  try {
    run();
  } catch (error) {
    if (error instanceof GantryError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("durations", () => {
  test.each([
    ["30s", 30_000],
    ["5m", 300_000],
    ["1h30m", 5_400_000],
    ["1.5h", 5_400_000],
    ["250ms", 250],
    ["2d", 172_800_000],
    ["0", 0],
    ["0s", 0],
  ])("%s", (text, ms) => expect(parseDurationMs(text, "--since")).toBe(ms));

  test.each(["", "s", "5", "-5s", "5 m", "5x", "1h30", "∞", "1e9s", `${"9".repeat(30)}h`])("refuses %j", (text) => {
    expect(failure(() => parseDurationMs(text, "--since")).code).toBe("usage");
  });

  test("a bare number gets the unit as a hint", () => {
    const error = failure(() => parseDurationMs("30", "--since"));
    expect(error.message).toBe("--since '30' has no unit");
    expect(error.hint).toBe("Say what it counts: --since 30s");
  });
});

describe("pod arguments", () => {
  test.each([
    ["web", undefined, "default/web", false],
    ["web", "shop", "shop/web", true],
    ["shop/web", undefined, "shop/web", true],
    ["shop/web", "shop", "shop/web", true],
    ["pod/web", undefined, "default/web", false],
    ["pods/web", "shop", "shop/web", true],
    ["web.v1", undefined, "default/web.v1", false],
  ])("%s with -n %s", (text, namespace, key, given) => {
    const ref = parsePodRef(text, namespace);
    expect([`${ref.namespace}/${ref.name}`, ref.namespaceGiven]).toEqual([key, given]);
  });

  test.each(["", "a/b/c", "Web", "../etc", "/web", "shop/", "we b", "a".repeat(254), "S/web", "a.b/web"])(
    "refuses %j",
    (text) => expect(failure(() => parsePodRef(text, undefined)).code).toBe("usage"),
  );

  test("refuses two namespaces", () => {
    expect(failure(() => parsePodRef("a/web", "b")).message).toBe("'a/web' names namespace 'a', and -n says 'b'");
  });
});

describe("flags", () => {
  const flags = new Flags({ tail: "x", output: "xml", empty: "", gracePeriod: "-1", many: ["a", "b"], color: false });

  test("whole numbers", () => {
    expect(new Flags({ tail: "20" }).integer("tail", -1)).toBe(20);
    expect(failure(() => flags.integer("tail", -1)).message).toBe("--tail 'x' is not a whole number of at least -1");
    expect(failure(() => flags.integer("gracePeriod", 0)).message).toContain("--grace-period '-1'");
  });

  test("choices name what is allowed", () => {
    const error = failure(() => flags.choice("output", ["table", "json"]));
    expect([error.message, error.hint]).toEqual(["--output 'xml' is not known", "Choose one of: table, json."]);
  });

  test("an empty value is refused, an absent one is not", () => {
    expect(failure(() => flags.text("empty")).code).toBe("usage");
    expect(flags.text("absent")).toBeUndefined();
    expect(flags.texts("absent")).toEqual([]);
    expect(flags.texts("many")).toEqual(["a", "b"]);
    expect(flags.off("color")).toBe(true);
  });
});
