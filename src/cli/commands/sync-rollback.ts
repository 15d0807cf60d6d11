import { oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const rollbackSource: CommandSpec = {
  summary: "Go back to an earlier revision, until there is a new commit",
  arguments: [
    { syntax: "<name>", description: "a source", complete: "source" },
    {
      syntax: "[revision]",
      description: "the beginning of a commit id of its history, or a tag; default: the last good one",
    },
  ],
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry sync rollback pods", does: "to the last good revision before this one" },
    { line: "gantry sync rollback pods 3f2a9c0", does: "to this one; 'gantry sync status pods' lists them" },
  ],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const { out } = context;
  const [name = "", wanted] = args;
  const revision = await (await context.client()).rollbackSource(name, wanted);
  if (out.format === "json" || out.format === "yaml") await out.structured({ name, revision });
  else out.line(`source/${name} rolled back to ${revision.oid.slice(0, 12)}: ${oneLine(revision.subject)}`);
  return undefined;
}
