import type { SourceStatus } from "../../source/git/index.ts";
import { sourceDetails, sourceTable } from "../output/source-table.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const sourceStatus: CommandSpec = {
  summary: "What is followed, and how it is",
  description:
    "SYNC: Synced, OutOfSync (the remote has something else than what is in force), Suspended, Failed (it can't be\n" +
    "fetched, or its newest revision was refused). HEALTH: of the source's pods. With a NAME: its pods and its history.",
  arguments: [{ syntax: "[name]", description: "one source: everything about it", complete: "source" }],
  options: [{ flags: "--exit-code", description: "exit with 1 unless all are Synced and Healthy" }],
  outputs: ["table", "wide", "json", "yaml"],
  examples: [
    { line: "gantry sync list", does: "all sources" },
    { line: "gantry sync status pods", does: "one: its pods, and the last revisions with what became of them" },
    { line: "gantry sync status --exit-code -o json", does: "for scripts" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const { out } = context;
  const client = await context.client();
  const [name] = args;
  const items = name === undefined ? await client.listSources() : [await client.getSource(name)];
  const [only] = items;
  if (out.format === "json" || out.format === "yaml") await out.structured(name === undefined ? { items } : only);
  else if (items.length === 0) out.note("No sources. Follow one: gantry sync add URL --name NAME");
  else if (name !== undefined && only !== undefined) out.write(sourceDetails(only, context.now(), out.colors));
  else out.write(sourceTable(items, context.now(), out.format === "wide"));
  return flags.on("exitCode") && !items.every(isGood) ? 1 : 0;
}

function isGood({ sync, health }: SourceStatus): boolean {
  return sync === "Synced" && health === "Healthy";
}
