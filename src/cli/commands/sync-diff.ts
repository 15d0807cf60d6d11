import type { SourceDiff } from "../../source/git/index.ts";
import type { Colors } from "../output/color.ts";
import { problemLines } from "../output/problems.ts";
import { withProgress } from "../output/progress.ts";
import { count, oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const diffSource: CommandSpec = {
  summary: "Show what the remote would change now, and touch nothing",
  description: "Values of Secrets are not shown.",
  arguments: [{ syntax: "<name>", description: "a source", complete: "source" }],
  options: [{ flags: "--exit-code", description: "exit with 1 when something would change" }],
  outputs: ["json", "yaml"],
  examples: [{ line: "gantry sync diff pods", does: "object by object, field by field" }],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const { out } = context;
  const [name = ""] = args;
  const diff = await withProgress("fetching", (await context.client()).diffSource(name));
  if (out.format === "json" || out.format === "yaml") await out.structured(diff);
  else for (const line of linesOf(diff, out.colors)) out.line(line);
  return flags.on("exitCode") && diff.differences.length > 0 ? 1 : 0;
}

const SIGNS = { added: "+", changed: "~", removed: "-" } as const;

function linesOf({ revision, differences, problems, refusal }: SourceDiff, colors: Colors): string[] {
  const paint = { added: colors.green, changed: colors.yellow, removed: colors.red };
  const lines = differences.flatMap(({ type, object, path, fields }) => [
    `${paint[type](SIGNS[type])} ${oneLine(`${object} (${path})`)}`,
    ...fields.map(
      ({ field, before = "(nothing)", after = "(nothing)" }) => `    ${oneLine(`${field}: ${before} → ${after}`)}`,
    ),
  ]);
  const errors = problems.filter(({ severity }) => severity === "error");
  return [
    `revision ${revision.oid.slice(0, 12)} of ${oneLine(revision.author)}: ${oneLine(revision.subject)}`,
    ...lines,
    differences.length === 0 ? "Nothing would change." : `${count(differences.length, "object")} would change.`,
    ...errors.flatMap((problem) => problemLines(problem, colors)),
    ...(refusal === undefined ? [] : [`${colors.yellow("It would be refused:")} ${oneLine(refusal)}`]),
  ];
}
