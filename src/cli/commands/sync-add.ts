import { isDeepStrictEqual } from "node:util";
import { GantryError } from "../../system/errors.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { putIntoForce } from "./sync-put.ts";
import { absolute, checkInput, SETTINGS, saidOf } from "./sync-settings.ts";

export const addSource: CommandSpec = {
  summary: "Follow a Git repository",
  description:
    "Written to sources.d/NAME.yaml beside config.yaml. Fetched at once, if the daemon runs. Without --branch, --tag,\n" +
    "--semver and --commit the default branch is followed.",
  arguments: [{ syntax: "<url>", description: "https://…, ssh://…, USER@HOST:PATH, or the path of a repository here" }],
  options: [
    { flags: "--name <name>", description: "what it is called here; default: the last part of the URL" },
    ...SETTINGS,
  ],
  outputs: ["json", "yaml"],
  ownHost: true,
  examples: [
    { line: "gantry sync add https://example.com/team/pods.git --name pods --branch main", does: "follow a branch" },
    {
      line: "gantry sync add git@example.com:team/pods.git --name pods --ssh-key /etc/gantry/deploy --known-hosts /etc/gantry/known_hosts",
      does: "with a deploy key",
    },
    {
      line: "gantry sync add /srv/git/pods.git --path hosts/web1 --interval 30s",
      does: "a folder of a repository here",
    },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<undefined> {
  const { paths } = context;
  const [named = ""] = args;
  const url = await absolute(named);
  const { readSpecFiles, writeSpecFile } = await import("../../source/git/spec-files.ts");
  const { loadConfig } = await import("../../config/index.ts");
  const input = { name: flags.text("name") ?? nameOf(url), url, ...saidOf(flags) };
  const spec = await checkInput(input);
  const [{ sources }, { specs, broken }] = await Promise.all([loadConfig({ paths }), readSpecFiles(paths.etc)]);
  const before = [...sources, ...specs].find(({ name }) => name === input.name);
  if (before !== undefined ? !isDeepStrictEqual(before, spec) : broken.some(({ name }) => name === input.name)) {
    throw new GantryError("already-exists", `there is a source ${input.name} already`, {
      hint: `Change it in place: gantry sync set ${input.name} …, or choose another --name.`,
    });
  }
  const file = before === undefined ? await writeSpecFile(paths.etc, input) : undefined;
  await putIntoForce(context, input.name, before === undefined ? "added" : "is followed already", file);
  return undefined;
}

/** "https://example.com/team/Pods.git" is called "pods". */
function nameOf(url: string): string {
  const last = url.replace(/\/+$/, "").split(/[/:]/).at(-1) ?? "";
  return last
    .replace(/\.git$/, "")
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, "-")
    .replaceAll(/^-+|-+$/g, "");
}
