import { sourceLine } from "../output/source-table.ts";
import type { Call, CommandSpec } from "../spec.ts";

const outputs = ["json", "yaml"] as const;

export const suspendSource: CommandSpec = {
  summary: "Hold a source as it is: nothing new comes into force",
  arguments: [{ syntax: "<name>", description: "a source", complete: "source" }],
  outputs,
  examples: [{ line: "gantry sync suspend pods", does: "until 'gantry sync resume pods'" }],
  run: (call) => run(call, true),
};

export const resumeSource: CommandSpec = {
  summary: "Follow a suspended source again",
  arguments: [{ syntax: "<name>", description: "a source", complete: "source" }],
  outputs,
  examples: [{ line: "gantry sync resume pods", does: "it is fetched at once" }],
  run: (call) => run(call, false),
};

async function run({ args, context }: Call, suspended: boolean): Promise<undefined> {
  const { out } = context;
  const [name = ""] = args;
  const status = await (await context.client()).suspendSource(name, suspended);
  if (out.format === "json" || out.format === "yaml") await out.structured(status);
  else out.line(`source/${name} ${suspended ? "suspended" : "resumed"}: ${sourceLine(status)}`);
  return undefined;
}
