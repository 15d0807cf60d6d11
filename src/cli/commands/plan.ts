import type { Problem } from "../../manifest/index.ts";
import { describeStep, type PlanStep } from "../../plan.ts";
import { isGantryError } from "../../system/errors.ts";
import { VERSION } from "../../system/version.ts";
import { describeChange, type ObjectChange } from "../compare.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import { isAbsentDaemon } from "../images.ts";
import type { Colors } from "../output/color.ts";
import { findings, isFindingsFormat } from "../output/findings.ts";
import { problemLines } from "../output/problems.ts";
import { count, oneLine } from "../output/text.ts";
import { comparesRevisions, planRevisions } from "../plan-revisions.ts";
import { type Preview, previewPlan } from "../preview.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const plan: CommandSpec = {
  summary: "Show what would change, and touch nothing",
  description:
    "Without PATH: what the daemon is about to do; without a daemon: what one would do with the manifest folder.\n" +
    "A file is compared as if it were applied; a folder as if it were the manifest folder, so that pods that are not in\n" +
    "it would go. With --from or --against, manifests are compared with manifests, and nothing that runs: for pipelines,\n" +
    "without a daemon. A revision is read from Git's store; the work tree is not touched.\n" +
    "Exits with 1 when a manifest is broken; with --exit-code, with 5 when something would change.",
  arguments: [{ syntax: "[path]", description: "a file, a folder, or - for stdin", complete: "file" }],
  options: [
    { flags: "--from <rev>", description: "compare with this revision of the repository; PATH is inside of it" },
    { flags: "--to <rev>", description: "the revision to compare with that (default: HEAD)" },
    { flags: "--repo <dir>", description: "the repository of --from and --to (default: here)", complete: "file" },
    {
      flags: "--against <url>",
      description: "compare PATH with a repository (its HEAD, or --from), or another folder",
    },
    { flags: "--path <path>", description: "where PATH is in that repository (default: the same path)" },
    { flags: "--exit-code", description: "exit with 5 when something would change" },
    {
      flags: "--age-key <file>",
      description: "key of encrypted manifests (default: secrets.age.keys)",
      complete: "file",
      repeatable: true,
    },
  ],
  outputs: ["table", "json", "yaml", "sarif", "github", "gitlab"],
  examples: [
    { line: "gantry plan", does: "what is about to happen" },
    { line: "gantry plan web.yaml", does: "what 'gantry apply -f web.yaml' would do" },
    { line: "gantry plan manifests --from origin/main --to HEAD", does: "what a merge would change" },
    { line: "gantry plan manifests --against https://example.com/pods.git", does: "the same, without a clone" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const [path] = args;
  const { out } = context;
  const revisions = comparesRevisions(flags) ? await planRevisions(context, flags, path) : undefined;
  const preview =
    revisions ??
    (path === undefined ? await planOfDaemon(context) : await previewPlan(context, path, flags.texts("ageKey")));
  const changes = revisions?.changes ?? [];
  const errors = preview.problems.filter(({ severity }) => severity === "error");
  if (out.format === "json" || out.format === "yaml") {
    const { problems, unseen } = preview;
    await out.structured({ steps: preview.steps.map(compact), ...(revisions && { changes }), problems, unseen });
  } else if (isFindingsFormat(out.format)) {
    out.write(findings(out.format, preview.problems, VERSION));
  } else {
    show(preview, changes, errors, context);
  }
  if (errors.length > 0) return EXIT.failed;
  return flags.on("exitCode") && preview.steps.length + changes.length > 0 ? EXIT.changes : EXIT.ok;
}

async function planOfDaemon(context: Context): Promise<Preview> {
  const client = await context.client();
  try {
    const [steps, { problems, held }] = await Promise.all([client.plan(), client.problems()]);
    return { steps, problems, unseen: held };
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    return previewPlan(context, context.paths.manifests);
  }
}

function show(
  { steps, unseen }: Preview,
  changes: readonly ObjectChange[],
  errors: readonly Problem[],
  { out }: Context,
): void {
  for (const change of changes) out.line(`${signs(out.colors)[change.type]} ${oneLine(describeChange(change))}`);
  for (const step of steps) out.line(`${signOf(step, out.colors)} ${oneLine(describeStep(step))}`);
  const pods = new Set(steps.map(({ key }) => key)).size;
  const told = [
    ...(changes.length > 0 ? [count(changes.length, "other object")] : []),
    ...(steps.length > 0 ? [`${count(steps.length, "step")} for ${count(pods, "pod")}`] : []),
  ];
  out.line(told.length === 0 ? "Nothing to do." : `${told.join(", ")}.`);
  for (const problem of errors) for (const line of problemLines(problem, out.colors)) out.line(line);
  for (const text of unseen) out.note(`${out.errorColors.yellow("note:")} ${oneLine(text)}`);
}

function signs(colors: Colors): Readonly<Record<ObjectChange["type"], string>> {
  return { create: colors.green("+"), change: colors.yellow("~"), remove: colors.red("-") };
}

function signOf(step: PlanStep, colors: Colors): string {
  switch (step.type) {
    case "create-pod":
      return colors.green("+");
    case "remove-pod":
      return colors.red("-");
    case "update-pod":
      return colors.yellow("~");
    case "adopt-pod":
    case "ensure-images":
      return colors.cyan("=");
  }
}

/** A step for scripts: the pod itself is in its manifest, and is not repeated. */
function compact(step: PlanStep): Record<string, unknown> {
  if (!("desired" in step)) return { ...step };
  const { desired, ...rest } = step;
  return { ...rest, runtimeClass: desired.runtimeClass, manifest: desired.origin };
}
