import { GantryError, isGantryError } from "../../system/errors.ts";
import type { Flags } from "../flags.ts";
import { isAbsentDaemon } from "../images.ts";
import { withProgress } from "../output/progress.ts";
import { sourceLine } from "../output/source-table.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const addSource: CommandSpec = {
  summary: "Follow a Git repository",
  description:
    "Written to sources.d/NAME.yaml beside config.yaml. Fetched at once, if the daemon runs. Without --branch, --tag,\n" +
    "--semver and --commit the default branch is followed.",
  arguments: [{ syntax: "<url>", description: "https://…, ssh://…, USER@HOST:PATH, or the path of a repository here" }],
  options: [
    { flags: "--name <name>", description: "what it is called here; default: the last part of the URL" },
    { flags: "--branch <branch>", description: "follow this branch" },
    { flags: "--tag <tag>", description: "follow this tag" },
    { flags: "--semver <range>", description: "follow the highest version among the tags, such as ^1.2" },
    { flags: "--commit <id>", description: "stay at this commit" },
    { flags: "--path <folder>", description: "only manifests below this folder of the repository" },
    { flags: "--interval <duration>", description: "how often the remote is asked; default 60s" },
    {
      flags: "--policy <policy>",
      description: "a revision with errors: all-or-nothing (default) or per-file",
      complete: ["all-or-nothing", "per-file"],
    },
    { flags: "--submodules", description: "manifests of the repository's submodules count, too" },
    { flags: "--no-prune", description: "what the repository has no more goes on running" },
    { flags: "--allow-empty", description: "a revision without any manifest counts, too" },
    { flags: "--deadline <duration>", description: "how long its pods may take to become ready; 0: nobody waits" },
    { flags: "--ssh-key <file>", description: "deploy key", complete: "file" },
    {
      flags: "--known-hosts <file>",
      description: "host keys of the ssh server; default: root's known_hosts",
      complete: "file",
    },
    { flags: "--username <user>", description: "for https" },
    { flags: "--password-file <file>", description: "password or token for https", complete: "file" },
    { flags: "--ca-file <file>", description: "authority of the server's certificate", complete: "file" },
    {
      flags: "--gpg <file>",
      description: "commits or tags must be signed with this GPG key (repeatable)",
      complete: "file",
      repeatable: true,
    },
    {
      flags: "--allowed-signers <file>",
      description: "… or by an ssh key in this file (ssh-keygen(1), ALLOWED SIGNERS)",
      complete: "file",
    },
    {
      flags: "--webhook-secret-file <file>",
      description: "secret that webhooks of this repository are signed with",
      complete: "file",
    },
    { flags: "--insecure", description: "allow http:// and git://" },
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
  const { out, paths } = context;
  const [named = ""] = args;
  const url = await absolute(named);
  const { parseSpec, readSpecFiles, writeSpecFile } = await import("../../source/git/spec-files.ts");
  const { loadConfig } = await import("../../config/index.ts");
  const input = inputOf(url, flags);
  try {
    parseSpec(input);
  } catch (error) {
    if (!isGantryError(error, "invalid-config")) throw error;
    throw new GantryError("usage", `this can't be followed: ${error.message}`, { hint: "See: gantry sync add --help" });
  }
  const [{ sources }, { specs }] = await Promise.all([loadConfig({ paths }), readSpecFiles(paths.etc)]);
  if ([...sources, ...specs].some(({ name }) => name === input.name)) {
    throw new GantryError("already-exists", `there is a source ${input.name} already`, {
      hint: `Choose another --name, or remove it first: gantry sync remove ${input.name}`,
    });
  }
  const file = await writeSpecFile(paths.etc, input);
  const client = await context.client();
  try {
    await client.reloadSources();
  } catch (error) {
    if (!isGantryError(error, "daemon-unreachable") || !isAbsentDaemon(error)) throw error;
    if (out.format === "json" || out.format === "yaml") await out.structured({ name: input.name, file });
    else out.line(`source/${input.name} added; it is followed when the daemon starts`);
    return undefined;
  }
  const sync = client.syncSource(input.name, {}, context.signal);
  const { status } = await withProgress("fetching", sync).catch((error: unknown) => {
    out.note(`source/${input.name} added, and fetched again and again; for now:`);
    throw error;
  });
  if (out.format === "json" || out.format === "yaml") await out.structured({ name: input.name, file, status });
  else out.line(`source/${input.name} added: ${sourceLine(status)}`);
  return undefined;
}

/** A folder that is there, as it is from here: a source has no working directory. */
async function absolute(url: string): Promise<string> {
  if (url.startsWith("/") || url.includes("://") || url === "") return url;
  const { existsSync } = await import("node:fs");
  const { resolve } = await import("node:path");
  return existsSync(url) ? resolve(url) : url;
}

/** Only what was said: defaults stay defaults. */
function inputOf(url: string, flags: Flags) {
  const seconds = (name: string): number | undefined => {
    const ms = flags.durationMs(name);
    return ms === undefined ? undefined : Math.round(ms / 1000);
  };
  const gpg = flags.texts("gpg");
  const ssh = flags.text("allowedSigners");
  const said = {
    branch: flags.text("branch"),
    tag: flags.text("tag"),
    semver: flags.text("semver"),
    commit: flags.text("commit"),
    path: flags.text("path"),
    intervalSeconds: seconds("interval"),
    policy: flags.choice("policy", ["all-or-nothing", "per-file"] as const),
    submodules: flags.on("submodules") ? true : undefined,
    prune: flags.off("prune") ? false : undefined,
    allowEmpty: flags.on("allowEmpty") ? true : undefined,
    deadlineSeconds: seconds("deadline"),
    sshKey: flags.text("sshKey"),
    knownHosts: flags.text("knownHosts"),
    username: flags.text("username"),
    passwordFile: flags.text("passwordFile"),
    caFile: flags.text("caFile"),
    webhookSecretFile: flags.text("webhookSecretFile"),
    insecure: flags.on("insecure") ? true : undefined,
    verify:
      gpg.length === 0 && ssh === undefined
        ? undefined
        : { ...(gpg.length > 0 && { gpg: [...gpg] }), ...(ssh !== undefined && { ssh }) },
  };
  const rest = Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
  return { name: flags.text("name") ?? nameOf(url), url, ...rest };
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
