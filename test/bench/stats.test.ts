import { expect, test } from "vitest";
import { formatFigures, isWithin } from "./figures.ts";
import { median, percentile } from "./stats.ts";

test("median and percentile", () => {
  expect(median([3, 1, 2])).toBe(2);
  expect(median([4, 1, 2, 3])).toBe(2.5);
  expect(median([])).toBeNaN();
  expect(percentile([5, 1, 4, 2, 3], 0.5)).toBe(3);
  expect(percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], 0.9)).toBe(9);
});

test("a figure is held against its limit, and what was not measured is over it", () => {
  const figure = { id: "x", what: "x", unit: "ms" } as const;
  expect(isWithin({ ...figure, value: 15, limit: { at: "most", value: 15 } })).toBe(true);
  expect(isWithin({ ...figure, value: 1.9, limit: { at: "least", value: 2 } })).toBe(false);
  expect(isWithin({ ...figure, value: Number.NaN, limit: { at: "most", value: 15 } })).toBe(false);
  expect(isWithin({ ...figure, value: 1 })).toBeUndefined();
});

test("the table shows value, limit and verdict", () => {
  const table = formatFigures([
    { id: "a", what: "slow thing", value: 123.4, unit: "ms", limit: { at: "most", value: 100 } },
    { id: "b", what: "ratio", value: 2.5, unit: "×", limit: { at: "least", value: 2 } },
  ]);
  expect(table).toContain("slow thing  123 ms  ≤ 100 ms  OVER");
  expect(table).toContain("ratio       2.5 ×   ≥ 2 ×     pass");
});
