import { describe, expect, test } from "vitest";
import { parseManifest, parseManifestText } from "../../src/manifest/index.ts";
import { excessIn } from "../../src/manifest/yaml/excess.ts";

const HEAD = "apiVersion: v1\nkind: Pod\nmetadata: { name: a }\n";
const MANY = 110_000;
const lines = (line: (index: number) => string): string => Array.from({ length: MANY }, (_, at) => line(at)).join("");

describe("more values than any manifest has are refused before anything is made of them", () => {
  test.each([
    ["a flow list", `${HEAD}spec: { containers: [${lines(() => "{},")}{}] }\n`],
    ["a list of nothing", `${HEAD}spec:\n  containers:\n${lines(() => "  -\n")}`],
    ["plain texts", `${HEAD}spec: [${lines(() => "a,")}a]\n`],
    ["quoted texts", `${HEAD}spec: [${lines(() => "'a',")}'a']\n`],
    ["fields", `${HEAD}spec:\n${lines((at) => `  a${at}: 1\n`)}`],
    [
      "JSON",
      JSON.stringify({ kind: "Pod", spec: Object.fromEntries(Array.from({ length: MANY }, (_, at) => [at, 1])) }),
    ],
    ["aliases", `a: &a {}\nspec: [${lines(() => "*a,")}*a]\n`],
    ["documents", lines(() => "a: 1\n---\n")],
    ["only commas", `${HEAD}spec: [${lines(() => ", ")}]\n`],
  ])("%s", (_what, text) => {
    const { objects, problems } = parseManifest("a.yaml", Buffer.from(text), { sizeLimit: Number.MAX_SAFE_INTEGER });
    expect(objects).toEqual([]);
    expect(problems).toEqual([
      expect.objectContaining({ severity: "error", message: "there are more than 100000 values in it", field: "" }),
    ]);
    expect(problems[0]?.place.file).toBe("a.yaml");
  });

  test("where it becomes too much is told", () => {
    const text = `${HEAD}spec:\n${lines((at) => `  a${at}: 1\n`)}`;
    const offset = excessIn(text) ?? 0;
    const line = text.slice(0, offset).split("\n").length;
    const column = offset - text.lastIndexOf("\n", offset);
    expect(line).toBeGreaterThan(99_000);
    expect(parseManifestText("a.yaml", text).problems[0]?.place).toEqual({ file: "a.yaml", line, column });
  });

  test("a long text is no excess, nor are texts with the signs of many values in them", () => {
    const block = lines(() => "    - {}, [a, b]: c\n");
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: a }\ndata:\n  a: |\n${block}  b: "${lines(() => "- ,")}"\n`;
    const { objects, problems } = parseManifestText("a.yaml", text);
    expect([objects.length, problems]).toEqual([1, []]);
  });
});

test("aliases of aliases are refused where they come to too much", () => {
  const letters = [..."abcdefghi"];
  const bomb = letters.map((name, at) => {
    const inside = at === 0 ? "x" : `*${letters[at - 1]}`;
    return `${name}: &${name} [${Array(9).fill(inside).join(",")}]\n`;
  });
  const { problems } = parseManifestText("a.yaml", bomb.join(""));
  expect(problems).toEqual([expect.objectContaining({ message: "aliases expand to more than 10000 values" })]);
});

test("of one object the first errors are told, and how many more there are", () => {
  const text = `${HEAD}spec:\n  containers:\n${"    - {}\n".repeat(100)}`;
  const { problems } = parseManifestText("a.yaml", text);
  expect(problems).toHaveLength(51);
  expect(problems.filter(({ message }) => message === "and 150 errors more in it")).toHaveLength(1);
});
