import { GantryError } from "../../system/errors.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { putIntoForce } from "./sync-put.ts";
import { absolute, checkInput, fieldOf, SETTING_NAMES, SETTINGS, saidOf } from "./sync-settings.ts";

export const setSource: CommandSpec = {
  summary: "Change settings of a source in place; its pods go on",
  description:
    "Only what is named is changed; one of --branch, --tag, --semver and --commit takes the place of another. What is in\n" +
    "force stays until the new settings lead to another revision. A source of config.yaml is changed there.",
  arguments: [{ syntax: "<name>", description: "a source that was added here", complete: "source" }],
  options: [
    { flags: "--url <url>", description: "the repository is elsewhere now" },
    ...SETTINGS,
    {
      flags: "--unset <setting>",
      description: "back to its default, such as: --unset branch (repeatable)",
      complete: SETTING_NAMES,
      repeatable: true,
    },
  ],
  ownHost: true,
  outputs: ["json", "yaml"],
  examples: [
    { line: "gantry sync set pods --branch stable --interval 5m", does: "follow another branch, less often" },
    { line: "gantry sync set pods --url https://git.example.com/pods.git", does: "the repository has moved" },
    { line: "gantry sync set pods --unset path", does: "the whole repository again" },
  ],
  run,
};

const REFS = ["branch", "tag", "semver", "commit"];

async function run({ args, flags, context }: Call): Promise<undefined> {
  const { paths } = context;
  const [name = ""] = args;
  const { readSpecInput, writeSpecFile } = await import("../../source/git/spec-files.ts");
  const { loadConfig } = await import("../../config/index.ts");
  const { sources } = await loadConfig({ paths });
  const before = await readSpecInput(paths.etc, name);
  if (before === undefined || sources.some((source) => source.name === name)) throw notHere(name, sources, paths);
  const said = saidOf(flags);
  const url = flags.text("url");
  const unset = flags.texts("unset").map(fieldOf);
  if (url === undefined && unset.length === 0 && Object.keys(said).length === 0)
    throw new GantryError("usage", "nothing is named that should change", { hint: "See: gantry sync set --help" });
  const replaced = REFS.some((ref) => ref in said) ? REFS : [];
  const gone = new Set([...unset, ...replaced]);
  const kept = Object.fromEntries(Object.entries(before).filter(([field]) => !gone.has(field)));
  const input = { ...kept, ...said, name, url: url === undefined ? before.url : await absolute(url) };
  await checkInput(input);
  const file = await writeSpecFile(paths.etc, input);
  await putIntoForce(context, name, "changed", file);
  return undefined;
}

function notHere(
  name: string,
  sources: readonly { readonly name: string }[],
  { configFile }: { readonly configFile: string },
): GantryError {
  if (sources.some((source) => source.name === name))
    return new GantryError("conflict", `the source ${name} stands in config.yaml`, {
      hint: `Change it there (sources: in ${configFile}), and restart the daemon.`,
    });
  return new GantryError("not-found", `there is no source '${name}'`, { hint: "See what there is: gantry sync list" });
}
