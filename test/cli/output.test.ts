import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { formatAge, formatSpan } from "../../src/cli/output/age.ts";
import { colorsFor } from "../../src/cli/output/color.ts";
import { renderFields } from "../../src/cli/output/fields.ts";
import { problemSection } from "../../src/cli/output/problems.ts";
import { renderTable } from "../../src/cli/output/table.ts";
import { count, formatBytes, oneLine, printable } from "../../src/cli/output/text.ts";
import type { Problem } from "../../src/manifest/index.ts";

const S = 1000;
const M = 60 * S;
const H = 60 * M;
const D = 24 * H;

describe("ages read as kubectl prints them", () => {
  test.each([
    [0, "0s"],
    [-1500, "0s"],
    [-2000, "<invalid>"],
    [Number.NaN, "<invalid>"],
    [119 * S, "119s"],
    [120 * S, "2m"],
    [5 * M + 30 * S, "5m30s"],
    [10 * M, "10m"],
    [179 * M, "179m"],
    [3 * H, "3h"],
    [3 * H + 5 * M, "3h5m"],
    [8 * H, "8h"],
    [47 * H, "47h"],
    [48 * H, "2d"],
    [2 * D + 3 * H, "2d3h"],
    [8 * D, "8d"],
    [700 * D, "700d"],
    [365 * 2 * D, "2y"],
    [365 * 2 * D + 3 * D, "2y3d"],
    [365 * 9 * D, "9y"],
  ])("%d ms", (ms, text) => expect(formatSpan(ms)).toBe(text));

  test("any span gives something short", () => {
    fc.assert(fc.property(fc.double(), (ms) => formatSpan(ms).length < 30));
  });

  test("a time that is not there", () => expect(formatAge(undefined, 0)).toBe("<unknown>"));
});

describe("tables", () => {
  test("columns line up, three spaces apart, with no trailing space", () => {
    const rows = [
      ["web", "1/1", ""],
      ["a-long-name", "0/1", "late"],
    ];
    expect(renderTable(["NAME", "READY", "MESSAGE"], rows)).toBe(
      ["NAME          READY   MESSAGE", "web           1/1", "a-long-name   0/1     late", ""].join("\n"),
    );
  });

  test("colour does not move a column", () => {
    const red = (text: string): string => `\u001b[31m${text}\u001b[39m`;
    const table = renderTable(["A", "B"], [[{ text: "x", paint: red }, "y"]]);
    expect(table).toBe("A   B\n\u001b[31mx\u001b[39m   y\n");
  });

  test("text from elsewhere can't break out of its cell", () => {
    expect(renderTable(["A"], [["one\ntwo\u001b[2J"]])).toBe("A\none two\ufffd[2J\n");
  });
});

test("text", () => {
  expect(oneLine("  a \r\n  b\u0007 ")).toBe("a b\ufffd");
  expect(printable("a\r\nb\tc\u001b")).toBe("a\nb\tc\ufffd");
  expect([count(1, "pod"), count(0, "pod"), count(2, "entry", "entries")]).toEqual(["1 pod", "0 pods", "2 entries"]);
  expect([0, 1023, 1536, 150 * 1024, 5 * 2 ** 30].map(formatBytes)).toEqual([
    "0 B",
    "1023 B",
    "1.5 KiB",
    "150 KiB",
    "5.0 GiB",
  ]);
});

test("fields stand under each other, absent ones are left out", () => {
  const lines = renderFields(
    [
      ["Name", "web"],
      ["Labels", ["a=1", "b=2"]],
      ["Gone", undefined],
      ["Ports", []],
    ],
    2,
  );
  expect(lines).toEqual(["  Name:    web", "  Labels:  a=1", "           b=2", "  Ports:   <none>"]);
});

test("colours only on a terminal, and not against the user's wish", () => {
  const tty = { isTTY: true };
  expect(colorsFor(tty, true, {}).isColorSupported).toBe(true);
  expect(colorsFor(tty, false, {}).isColorSupported).toBe(false);
  expect(colorsFor(tty, true, { NO_COLOR: "1" }).isColorSupported).toBe(false);
  expect(colorsFor(tty, true, { TERM: "dumb" }).isColorSupported).toBe(false);
  expect(colorsFor({}, true, {}).isColorSupported).toBe(false);
});

test("below the table: broken manifests, held sources, and how many warnings", () => {
  const problem: Problem = {
    severity: "error",
    place: { file: "web.yaml", line: 3, column: 5 },
    field: "spec.containers[0].imag",
    message: "unknown field 'imag'",
    hint: "did you mean 'image'?",
    object: "Pod default/web",
  };
  const report = { problems: [problem, { ...problem, severity: "warning" as const }], held: ["folder /m: is gone"] };
  expect(problemSection(report, colorsFor({}, true, {}))).toEqual([
    "1 manifest error (what runs stays as it is):",
    "  web.yaml:3:5: error: spec.containers[0].imag: unknown field 'imag'",
    "    hint: did you mean 'image'?",
    "",
    "Held as it is:",
    "  folder /m: is gone",
    "",
    "1 warning: 'gantry validate' shows them, 'gantry describe' those of a pod.",
  ]);
});

test("a file with many mistakes does not bury the others", () => {
  const problems = [..."abcde"].map(
    (field, index): Problem => ({
      severity: "error",
      place: { file: "many.yaml", line: index + 1, column: 1 },
      field,
      message: "is wrong",
      hint: undefined,
      object: undefined,
    }),
  );
  const more = { hint: undefined, object: undefined };
  const place = { file: "b.yaml", line: 1, column: 1 };
  const other: Problem = { severity: "error", place, field: "", message: "bad", ...more };
  const section = problemSection({ problems: [...problems, other], held: [] }, colorsFor({}, true, {}));
  expect(section).toEqual([
    "6 manifest errors (what runs stays as it is):",
    "  many.yaml:1:1: error: a: is wrong",
    "  many.yaml:2:1: error: b: is wrong",
    "  many.yaml:3:1: error: c: is wrong",
    "  many.yaml: 2 more: gantry validate many.yaml",
    "  b.yaml:1:1: error: bad",
  ]);
});
