import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { coverage, leaves } from "./fields.ts";
import { COMMAND, covers, withPage } from "./page.ts";

test("the page in README.md is up to date", () => {
  const readme = readFileSync("README.md", "utf8");
  expect(readme, `README.md is behind the support table: run '${COMMAND}'`).toBe(withPage(readme));
});

test("every field of a Pod is on the page, once", () => {
  const rows = coverage();
  const found = leaves().map((field) => ({ field, rows: rows.filter((row) => covers(row, field)).length }));
  expect(found.length).toBeGreaterThan(800);
  expect(found.filter((one) => one.rows !== 1)).toEqual([]);
});

test("what is not supported says why", () => {
  const mute = coverage().filter((row) => row.why === "" && `${row.namespace}${row.microvm}` !== "supportedsupported");
  expect(mute).toEqual([]);
});
