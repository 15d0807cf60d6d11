/** What went wrong with a remote, in words. */
import { GantryError, isGantryError, toGantryError } from "../../system/errors.ts";
import { withoutSecrets } from "./url.ts";

interface Explanation {
  readonly when: RegExp;
  readonly message: (ref: string) => string;
  readonly hint: string;
}

/** By what Git and ssh print in English (LANG=C). */
const EXPLANATIONS: readonly Explanation[] = [
  {
    when: /Host key verification failed|No .* host key is known|REMOTE HOST IDENTIFICATION HAS CHANGED/,
    message: () => "the host key of the ssh server is not the known one",
    hint: "Compare its fingerprint, and put the key into knownHosts of the source (ssh-keyscan HOST).",
  },
  {
    when: /Permission denied \(|Load key ".*":/,
    message: () => "the ssh server does not let this host in",
    hint: "Add the deploy key (sshKey of the source) to the repository; the file must be readable by root alone.",
  },
  {
    when: /Authentication failed|could not read Username|could not read Password|HTTP 40[13]|error: 40[13]/,
    message: () => "the server asks for a user name and a password, or for others",
    hint: "Set username and passwordFile of the source.",
  },
  {
    when: /couldn't find remote ref HEAD/,
    message: () => "the repository has no commit yet, or no default branch",
    hint: "Push a commit, or name the branch (branch of the source).",
  },
  {
    when: /couldn't find remote ref|Remote branch .* not found/,
    message: (ref) => `the repository has no ${ref}`,
    hint: "Correct branch, tag or commit of the source, or push it.",
  },
  {
    when: /not our ref|upload-pack: not our ref|unadvertised object/,
    message: (ref) => `the repository has no ${ref}, or does not give it out`,
    hint: "Push it, or name a branch that holds it.",
  },
  {
    when: /dubious ownership/,
    message: () => "the repository on this host belongs to somebody else than root",
    hint: "Give it to root (chown -R root), or follow it over https or ssh.",
  },
  {
    when: /does not appear to be a git repository|Repository not found|repository .* not found|HTTP 404|error: 404/i,
    message: () => "there is no repository at this URL, or this host may not see it",
    hint: "Check the URL and the credentials.",
  },
  {
    when: /SSL certificate|certificate verify failed|server certificate/i,
    message: () => "the certificate of the server is not trusted",
    hint: "Name the file of its authority as caFile of the source.",
  },
  {
    when: /Could not resolve host|Name or service not known|Temporary failure in name resolution/,
    message: () => "the name of the server can't be resolved",
    hint: "Check the URL and the network.",
  },
  {
    when: /Connection refused|Connection timed out|No route to host|Failed to connect|unable to connect/i,
    message: () => "the server can't be reached",
    hint: "Check the URL and the network; it is tried again.",
  },
  {
    when: /early EOF|unexpected disconnect|the remote end hung up|Operation too slow|Connection reset|Broken pipe/i,
    message: () => "the connection broke while the repository was being fetched",
    hint: "It is tried again.",
  },
  {
    when: /transport '.*' not allowed/,
    message: () => "the server leads to another transport, which is not followed",
    hint: "Name the final URL.",
  },
  {
    when: /No space left on device/,
    message: () => "the disk is full",
    hint: "Free some disk space; it is tried again.",
  },
];

/** @returns a GantryError with what Git said in one line; nothing secret is in it */
export function explainFetch(error: unknown, ref: string, url: string, timeoutSeconds: number): GantryError {
  if (!isGantryError(error)) return toGantryError(error, "source-failed");
  if (error.code !== "timeout" && error.code !== "command-failed") return error;
  if (error.code === "timeout")
    return new GantryError("source-failed", `${withoutSecrets(url)} did not answer within ${timeoutSeconds} s`, {
      kind: "system",
      hint: "It is tried again; timeoutSeconds of the source allows more.",
    });
  const said = typeof error.details["stderr"] === "string" ? error.details["stderr"] : error.message;
  const found = EXPLANATIONS.find(({ when }) => when.test(said));
  const lines = withoutSecrets(said)
    .split("\n")
    .map((line) => line.trim());
  const last =
    lines.find((line) => found?.when.test(line)) ??
    lines.filter((line) => /^(fatal|error|ERROR|remote):?/.test(line)).at(-1) ??
    lines.filter((line) => line !== "").at(-1);
  const detail = (last ?? "").replaceAll(/\p{Cc}/gu, " ").slice(0, 300);
  if (found === undefined)
    return new GantryError("source-failed", `Git can't fetch: ${detail}`, {
      kind: "system",
      hint: "It is tried again; try 'git ls-remote' with the URL.",
    });
  return new GantryError("source-failed", `${found.message(ref)} (${detail})`, { kind: "system", hint: found.hint });
}
