import { isGantryError, messageOf } from "../../system/errors.ts";
import { withProgress } from "../output/progress.ts";
import { sourceLine } from "../output/source-table.ts";
import { oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const syncNow: CommandSpec = {
  summary: "Fetch now, and put into force what came",
  arguments: [{ syntax: "[name]", description: "a source; default: all of them", complete: "source" }],
  options: [
    { flags: "--retry", description: "try a revision again that was rolled back" },
    { flags: "--allow-empty", description: "a revision without any manifest is meant: all its pods go" },
  ],
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry sync now", does: "all sources" },
    { line: "gantry sync now pods --retry", does: "once more what was rolled back" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const { out, signal } = context;
  const client = await context.client();
  const [name] = args;
  const wish = { retry: flags.on("retry"), allowEmpty: flags.on("allowEmpty") };
  const one = (source: string) => withProgress(`fetching ${source}`, client.syncSource(source, wish, signal));
  if (name !== undefined) {
    const result = await one(name);
    if (out.format === "json" || out.format === "yaml") await out.structured(result);
    else out.line(`source/${name} ${result.changed ? "synced" : "unchanged"}: ${sourceLine(result.status)}`);
    return 0;
  }
  const all = (await client.listSources()).filter(({ sync }) => sync !== "Suspended");
  const results = await Promise.all(
    all.map(async (source) => {
      try {
        return { name: source.name, ...(await one(source.name)) };
      } catch (error) {
        if (!isGantryError(error)) throw error;
        return { name: source.name, error: messageOf(error), hint: error.hint };
      }
    }),
  );
  if (out.format === "json" || out.format === "yaml") await out.structured({ items: results });
  else
    for (const result of results) {
      if ("error" in result)
        out.note(
          `source/${result.name}: ${oneLine(result.error)}${result.hint === undefined ? "" : ` (${result.hint})`}`,
        );
      else out.line(`source/${result.name} ${result.changed ? "synced" : "unchanged"}: ${sourceLine(result.status)}`);
    }
  if (all.length === 0) out.note("No sources to fetch. See: gantry sync list");
  return results.some((result) => "error" in result) ? 1 : 0;
}
