import { GantryError, isGantryError } from "../../system/errors.ts";
import { isAbsentDaemon } from "../images.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const removeSource: CommandSpec = {
  summary: "Stop following a repository; its pods go",
  description: "A source of config.yaml is taken out there.",
  arguments: [{ syntax: "<name>", description: "a source", complete: "source" }],
  outputs: [],
  ownHost: true,
  examples: [{ line: "gantry sync remove pods", does: "its pods are stopped and removed, in their grace" }],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const [name = ""] = args;
  const { paths, out } = context;
  const { removeSpecFile } = await import("../../source/git/spec-files.ts");
  const { loadConfig } = await import("../../config/index.ts");
  const { sources } = await loadConfig({ paths });
  if (!/^[a-z0-9-]+$/.test(name) || !(await removeSpecFile(paths.etc, name))) {
    if (sources.some((source) => source.name === name))
      throw new GantryError("conflict", `the source ${name} stands in config.yaml`, {
        hint: `Take it out of sources: in ${paths.configFile}, and restart the daemon.`,
      });
    throw new GantryError("not-found", `there is no source '${name}'`, { hint: "See what there is: gantry sync list" });
  }
  try {
    await (await context.client()).reloadSources();
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
  }
  out.line(`source/${name} removed`);
  return undefined;
}
