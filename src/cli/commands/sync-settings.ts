/** What can be said of a source on the command line. */

import type { GitSourceInput, GitSourceSpec } from "../../source/git/index.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import { nearestName } from "../../system/nearest.ts";
import type { Flags } from "../flags.ts";
import type { OptionSpec } from "../spec.ts";

export const SETTINGS: readonly OptionSpec[] = [
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
];

/** A folder that is there, as it is from here: a source has no working directory. */
export async function absolute(url: string): Promise<string> {
  if (url.startsWith("/") || url.includes("://") || url === "") return url;
  const { existsSync } = await import("node:fs");
  const { resolve } = await import("node:path");
  return existsSync(url) ? resolve(url) : url;
}

/** Only what was said, as it stands in a file: defaults stay defaults. */
export function saidOf(flags: Flags): Partial<GitSourceInput> {
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
  return Object.fromEntries(Object.entries(said).filter(([, value]) => value !== undefined));
}

/** Settings that are called otherwise on the command line than in a file. */
const FIELDS: Readonly<Record<string, string>> = {
  interval: "intervalSeconds",
  deadline: "deadlineSeconds",
  "no-prune": "prune",
  gpg: "verify",
  "allowed-signers": "verify",
};

/** Names of the options above, without dashes: what can be taken back. */
export const SETTING_NAMES: readonly string[] = SETTINGS.map(({ flags }) => /^--([a-z-]+)/.exec(flags)?.[1] ?? "");

/** The field of a file that an option of this name sets. @throws GantryError usage */
export function fieldOf(name: string): string {
  const plain = name.replace(/^--/, "");
  if (SETTING_NAMES.includes(plain))
    return FIELDS[plain] ?? plain.replaceAll(/-([a-z])/g, (_all, letter: string) => letter.toUpperCase());
  const near = nearestName(plain, SETTING_NAMES);
  throw new GantryError("usage", `there is no setting ${JSON.stringify(name)} that could be taken back`, {
    hint: near === undefined ? `Name one of: ${SETTING_NAMES.join(", ")}.` : `Did you mean '${near}'?`,
  });
}

/** @throws GantryError usage that says what can't be followed, and why */
export async function checkInput(input: GitSourceInput): Promise<GitSourceSpec> {
  const { parseSpec } = await import("../../source/git/spec-files.ts");
  try {
    return parseSpec(input);
  } catch (error) {
    if (!isGantryError(error, "invalid-config")) throw error;
    throw new GantryError("usage", `this can't be followed: ${error.message}`, { hint: "See: gantry sync add --help" });
  }
}
