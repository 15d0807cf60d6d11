import { existsSync } from "node:fs";
import { loadConfig } from "../../config/index.ts";
import { byPosition, type LoadedObject, type Problem } from "../../manifest/index.ts";
import { isGantryError } from "../../system/errors.ts";
import { VERSION } from "../../system/version.ts";
import type { Context } from "../context.ts";
import { EXIT } from "../exit.ts";
import { hostProblems } from "../host-checks.ts";
import { type Manifests, readManifests } from "../manifests.ts";
import { findings, isFindingsFormat } from "../output/findings.ts";
import { problemLines } from "../output/problems.ts";
import { count } from "../output/text.ts";
import { missingReferences } from "../references.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const validate: CommandSpec = {
  summary: "Check manifests; needs no daemon",
  description:
    "Checks manifests as the daemon would: syntax, every field, names, ports that collide. Warns of what they refer to\n" +
    "and is not there: ConfigMaps and Secrets (the manifest folder counts too), and images, host paths and security profiles on this host.\n" +
    "Exits with 1 when there is an error, and with --strict also when there is a warning. -o github, gitlab and sarif are for\n" +
    "pipelines: annotations, a code quality report, and SARIF 2.1.0.",
  arguments: [{ syntax: "<paths...>", description: "files, folders, or - for stdin", complete: "file" }],
  options: [
    { flags: "--strict", description: "exit with 1 on warnings too" },
    { flags: "--manifests-only", description: "look at nothing of this host: for pipelines" },
    {
      flags: "--age-key <file>",
      description: "key of encrypted manifests (default: secrets.age.keys)",
      complete: "file",
      repeatable: true,
    },
  ],
  outputs: ["table", "json", "yaml", "sarif", "github", "gitlab"],
  examples: [
    { line: "gantry validate web.yaml", does: "one file" },
    { line: "gantry validate manifests/ -o json", does: "a folder, for scripts" },
    { line: "helm template x | gantry validate -", does: "from stdin" },
    { line: "gantry validate manifests/ --manifests-only -o github", does: "annotations in a GitHub workflow" },
  ],
  run,
};

async function run({ args, flags, context }: Call): Promise<number> {
  const { out } = context;
  const config = await loadConfig({ paths: context.paths });
  const given = flags.texts("ageKey");
  const keys = given.length > 0 ? given : config.secrets.age.keys;
  const manifests = await readManifests(args, config.runtime.handlers, keys);
  const here = !flags.on("manifestsOnly");
  const problems: Problem[] = byPosition([
    ...manifests.problems,
    ...missingReferences(manifests.objects, here ? await inTheFolder(context, keys) : []),
    ...(here ? await hostProblems(manifests.objects, context, config) : []),
  ]);
  const errors = problems.filter(({ severity }) => severity === "error").length;
  const failed = errors > 0 || (flags.on("strict") && problems.length > 0);
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ valid: !failed, files: manifests.files, objects: identities(manifests), problems });
  } else if (isFindingsFormat(out.format)) {
    out.write(findings(out.format, problems, VERSION));
  } else {
    for (const problem of problems) for (const line of problemLines(problem, out.colors)) out.line(line);
    const warnings = problems.length - errors;
    const found = `${count(manifests.objects.length, "object")} in ${count(manifests.files, "file")}`;
    const told = [
      ...(errors > 0 ? [count(errors, "error")] : []),
      ...(warnings > 0 ? [count(warnings, "warning")] : []),
    ];
    out.line(`${failed ? out.colors.red("not valid") : out.colors.green("valid")}: ${[found, ...told].join(", ")}`);
  }
  return failed ? EXIT.failed : EXIT.ok;
}

function identities({ objects }: Manifests) {
  return objects.map(({ object, place }) => ({
    kind: object.kind,
    ...("namespace" in object.metadata && { namespace: object.metadata.namespace ?? "default" }),
    name: object.metadata.name,
    place,
  }));
}

/** What the folder of this root already has: a file on its own may refer to it. */
async function inTheFolder({ paths }: Context, keys: readonly string[]): Promise<readonly LoadedObject[]> {
  if (!existsSync(paths.manifests)) return [];
  try {
    return (await readManifests([paths.manifests], {}, keys)).objects;
  } catch (error) {
    // An empty or unreadable folder has nothing to offer; it is not what is being checked.
    if (isGantryError(error)) return [];
    throw error;
  }
}
