import { type Document, isMap, isNode, isPair, isScalar, LineCounter, parseDocument } from "yaml";
import type { z } from "zod";
import { issuesOf } from "../manifest/zod-issues.ts";
import { GantryError } from "../system/errors.ts";
import { nearestName } from "../system/nearest.ts";

/** One thing that is wrong with the configuration. */
export interface ConfigProblem {
  /** "file:line:column", the name of an environment variable, or that of a flag. */
  readonly where: string;
  /** "network.subnet"; "" for the whole. */
  readonly field: string;
  readonly message: string;
  readonly hint: string | undefined;
}

/** @returns an `invalid-config` error that names every problem. */
export function configError(problems: readonly ConfigProblem[]): GantryError {
  const lines = problems.map(({ where, field, message, hint }) =>
    [where, field, hint === undefined ? message : `${message} (${hint})`].filter((part) => part !== "").join(": "),
  );
  return new GantryError("invalid-config", lines.join("\n"), {
    hint: "Correct it and try again; 'gantry config' lists every setting.",
    details: { problems },
  });
}

/** Reads YAML text; a problem says where it is broken. */
export function parseYaml(
  text: string,
  file: string,
): { document: Document; lines: LineCounter; problems: ConfigProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems = document.errors.map((error) => ({
    where: place(file, lines, error.pos[0]),
    field: "",
    message: firstLine(error.message),
    hint: undefined,
  }));
  return { document, lines, problems };
}

/** What zod found wrong with a layer. `where` finds the place of a field. */
export function schemaProblems(
  error: z.ZodError,
  schema: z.ZodType,
  value: unknown,
  where: (path: readonly PropertyKey[]) => string,
  known: readonly string[],
): ConfigProblem[] {
  const problems = issuesOf(error, schema, value).map(({ path, message, hint, atKey }): ConfigProblem => {
    const field = path.join(".");
    // Settings are known by their whole names: a right one may stand in the wrong section.
    if (atKey === true)
      return { where: where(path), field, message: "unknown setting", hint: nearest(field, known) ?? hint };
    return { where: where(path), field, message, hint };
  });
  return problems.sort((a, b) => lineOf(a) - lineOf(b));
}

function lineOf({ where }: ConfigProblem): number {
  return Number(/:(\d+):\d+$/.exec(where)?.[1] ?? 0);
}

/** "did you mean 'x'?" when one of `known` is close enough to be meant. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const near = nearestName(name, known);
  return near === undefined ? undefined : `did you mean '${near}'?`;
}

/** "file:line:column" of the field, or of the innermost one around it that is there. */
export function locate(document: Document, lines: LineCounter, file: string, path: readonly PropertyKey[]): string {
  let node: unknown = document.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const part of path) {
    const pair = isMap(node)
      ? node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(part))
      : undefined;
    if (pair !== undefined) {
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
      continue;
    }
    const item: unknown = typeof part === "number" && isNode(node) && "get" in node ? node.get(part, true) : undefined;
    if (!isNode(item)) break;
    offset = item.range?.[0] ?? offset;
    node = item;
  }
  return place(file, lines, offset);
}

function place(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file}:${Math.max(1, line)}:${Math.max(1, col)}`;
}

const firstLine = (text: string): string => text.split("\n")[0] ?? text;
