/** Who signed a revision, and whether that is somebody who may. */
import { access, constants, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GantryError, isGantryError, messageOf } from "../../system/errors.ts";
import { exec } from "../../system/exec.ts";
import { revisionText } from "./commit.ts";
import type { Fetched } from "./repository.ts";
import type { RunGit } from "./run.ts";
import type { GitSourceSpec } from "./schema.ts";

type Rule = NonNullable<GitSourceSpec["verify"]>;

/**
 * The signer of the commit, or of the tag that led to it; either will do.
 * @throws GantryError source-untrusted with the commit, and whose signature it has, if any
 */
export async function verifyRevision(git: RunGit, rule: Rule, fetched: Fetched, signal: AbortSignal): Promise<string> {
  const { revision, tagObject } = fetched;
  const home = await mkdtemp(join(tmpdir(), "gantry-gpg-")); // 0700
  try {
    if (rule.gpg !== undefined) await importKeys(home, rule.gpg, signal);
    if (rule.ssh !== undefined) await checkSigners(rule.ssh);
    const verify = async (what: "commit" | "tag", oid: string): Promise<Verdict> => {
      const { stderr, exitCode } = await git([`verify-${what}`, "--raw", oid], {
        signal,
        okCodes: "any",
        config: configOf(rule),
        env: { GNUPGHOME: home },
      });
      return judgeSignature(stderr, exitCode);
    };
    const commit = await verify("commit", revision.oid);
    if (commit.type === "good") return commit.signer;
    const tag =
      tagObject === undefined || tagObject.name === revision.tag
        ? tagObject && (await verify("tag", tagObject.oid))
        : // Whoever may push could otherwise give the signed tag of an old version the name of a new one.
          ({ type: "bad", why: `was made as the tag ${plain(tagObject.name)}` } as const);
    if (tag?.type === "good") return tag.signer;
    const [worse, what] = tag === undefined || tag.type === "unsigned" ? [commit, "the commit"] : [tag, "the tag"];
    throw new GantryError(
      "source-untrusted",
      `revision ${revisionText(revision)} of ${revision.author} is not trusted: ${worse.type === "unsigned" ? `${tag === undefined ? "it is" : "commit and tag are"} not signed` : `${what} ${worse.why}`}`,
      { hint: "Sign it with one of the keys that verify of the source names, or add the signer's key there." },
    );
  } finally {
    await endAgents(home);
    await rm(home, { recursive: true, force: true });
  }
}

/** Formats that were not asked for are checked by a program that says no. */
function configOf(rule: Rule): [string, string][] {
  return [
    ["gpg.program", rule.gpg === undefined ? "false" : "gpg"],
    ["gpg.x509.program", "false"],
    ["gpg.ssh.program", rule.ssh === undefined ? "false" : "ssh-keygen"],
    ["gpg.ssh.allowedSignersFile", rule.ssh ?? "/dev/null"],
    ["gpg.minTrustLevel", "undefined"],
  ];
}

export type Verdict =
  | { readonly type: "good"; readonly signer: string }
  | { readonly type: "unsigned" }
  | { readonly type: "bad"; readonly why: string };

/**
 * What `git verify-commit --raw` prints: for GPG its status lines (doc/DETAILS of GnuPG), for ssh what ssh-keygen says.
 * Pure.
 */
export function judgeSignature(stderr: string, exitCode: number): Verdict {
  const ssh = /Good "git" signature for (.+) with (\S+) key (\S+)/.exec(stderr);
  if (ssh !== null && exitCode === 0) return { type: "good", signer: plain(`${ssh[1]} (${ssh[3]})`) };
  const stranger = /Good "git" signature with (\S+) key (\S+)/.exec(stderr);
  if (stranger !== null)
    return { type: "bad", why: `is signed by an ssh key that is not among the allowed signers (${stranger[2]})` };
  const status = (word: string): string | undefined => new RegExp(`^\\[GNUPG:\\] ${word} (.*)$`, "m").exec(stderr)?.[1];
  const [good, valid] = [status("GOODSIG"), status("VALIDSIG")];
  if (good !== undefined && valid !== undefined && exitCode === 0) {
    const fingerprint = valid.split(" ")[0] ?? "";
    return { type: "good", signer: plain(`${good.slice(good.indexOf(" ") + 1)} (${fingerprint})`) };
  }
  const named = (text: string): string => plain(text.slice(text.indexOf(" ") + 1));
  const expired = status("EXPKEYSIG") ?? status("EXPSIG");
  if (expired !== undefined)
    return { type: "bad", why: `is signed by ${named(expired)} with a key or a signature that has expired` };
  const revoked = status("REVKEYSIG");
  if (revoked !== undefined) return { type: "bad", why: `is signed by ${named(revoked)} with a key that was revoked` };
  const bad = status("BADSIG");
  if (bad !== undefined)
    return { type: "bad", why: `has a signature of ${named(bad)} that does not fit: it was changed` };
  const unknown = status("ERRSIG") ?? status("NO_PUBKEY");
  if (unknown !== undefined)
    return {
      type: "bad",
      why: `is signed by a GPG key that is not among the trusted ones (${plain(unknown.split(" ")[0] ?? "")})`,
    };
  if (/no signature found/i.test(stderr) || stderr.trim() === "") {
    // A format that is not asked for is checked by "false", which says nothing.
    return exitCode === 0 ? { type: "bad", why: "has a signature that can't be checked" } : { type: "unsigned" };
  }
  const last = stderr.trim().split("\n").at(-1) ?? "";
  return { type: "bad", why: `has a signature that is not good: ${plain(last)}` };
}

function plain(text: string): string {
  return text.replaceAll(/\p{Cc}/gu, "\u{fffd}").slice(0, 200);
}

/** Git only says that there is no good signature. */
async function checkSigners(file: string): Promise<void> {
  try {
    await access(file, constants.R_OK);
  } catch (error) {
    throw new GantryError("invalid-config", `the allowed signers ${file} can't be read: ${messageOf(error)}`, {
      hint: "Name a file as ssh-keygen(1) describes it, ALLOWED SIGNERS, in verify.ssh of the source.",
    });
  }
}

async function importKeys(home: string, files: readonly string[], signal: AbortSignal): Promise<void> {
  for (const file of files) {
    try {
      await exec("gpg", ["--batch", "--quiet", "--no-autostart", "--import", "--", file], {
        signal,
        env: { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: home, GNUPGHOME: home, LANG: "C" },
      });
    } catch (error) {
      if (isGantryError(error, "cancelled", "command-missing")) throw error;
      throw new GantryError("invalid-config", `the GPG key ${file} can't be read: ${messageOf(error)}`, {
        hint: "Export it with gpg --export --armor KEY, and name the file in verify.gpg of the source.",
      });
    }
  }
}

/** Checking needs no agent; one that was started all the same must not outlive this. */
async function endAgents(home: string): Promise<void> {
  const env = { PATH: process.env["PATH"] ?? "/usr/bin:/bin", HOME: home, GNUPGHOME: home };
  await exec("gpgconf", ["--kill", "all"], { env, okCodes: "any" }).catch(() => undefined);
}
