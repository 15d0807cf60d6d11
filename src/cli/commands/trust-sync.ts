import { GantryError } from "../../system/errors.ts";
import { withProgress } from "../output/progress.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const syncTrust: CommandSpec = {
  summary: "Ask the TUF repository of trust.tuf for its policy now",
  description: "The daemon does so by itself, every trust.tuf.intervalSeconds.",
  outputs: ["json", "yaml"],
  ownHost: true,
  examples: [{ line: "gantry trust sync", does: "after the repository has changed" }],
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out } = context;
  const { openTrust } = await import("../trust.ts");
  const { follower } = await openTrust(context);
  if (follower === undefined) {
    throw new GantryError("usage", "no TUF repository is followed", {
      hint: "Set trust.tuf in config.yaml: {url: https://…, root: /path/of/root.json}.",
    });
  }
  const { changed, version, validUntil } = await withProgress("asking the repository", follower.follow(context.signal));
  const until = new Date(validUntil).toISOString();
  if (out.format === "json" || out.format === "yaml") await out.structured({ changed, version, validUntil: until });
  else out.line(`trust ${changed ? "changed" : "unchanged"}: version ${version}, valid until ${until}`);
  return undefined;
}
