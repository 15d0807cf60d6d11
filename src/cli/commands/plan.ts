import type { Problem } from "../../manifest/index.ts";
import { describeStep, type PlanStep } from "../../plan.ts";
import { isGantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import { isAbsentDaemon } from "../images.ts";
import type { Colors } from "../output/color.ts";
import { problemLines } from "../output/problems.ts";
import { count, oneLine } from "../output/text.ts";
import { type Preview, previewPlan } from "../preview.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const plan: CommandSpec = {
  summary: "Show what would change, and touch nothing",
  description:
    "Without PATH: what the daemon is about to do; without a daemon: what one would do with the manifest folder.\n" +
    "A file is compared as if it were applied; a folder as if it were the manifest folder, so that pods that are not in\n" +
    "it would go. Exits with 1 when a manifest is broken.",
  arguments: [{ syntax: "[path]", description: "a file, a folder, or - for stdin", complete: "file" }],
  outputs: ["table", "json", "yaml"],
  examples: [
    { line: "gantry plan", does: "what is about to happen" },
    { line: "gantry plan web.yaml", does: "what 'gantry apply -f web.yaml' would do" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<number> {
  const [path] = args;
  const { out } = context;
  const preview = path === undefined ? await planOfDaemon(context) : await previewPlan(context, path);
  const errors = preview.problems.filter(({ severity }) => severity === "error");
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ steps: preview.steps.map(compact), problems: preview.problems, unseen: preview.unseen });
  } else {
    show(preview, errors, context);
  }
  return errors.length > 0 ? EXIT.failed : EXIT.ok;
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

function show({ steps, unseen }: Preview, errors: readonly Problem[], { out }: Context): void {
  for (const step of steps) out.line(`${signOf(step, out.colors)} ${oneLine(describeStep(step))}`);
  const pods = new Set(steps.map(({ key }) => key)).size;
  out.line(steps.length === 0 ? "Nothing to do." : `${count(steps.length, "step")} for ${count(pods, "pod")}.`);
  for (const problem of errors) for (const line of problemLines(problem, out.colors)) out.line(line);
  for (const text of unseen) out.note(`${out.errorColors.yellow("note:")} ${oneLine(text)}`);
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
