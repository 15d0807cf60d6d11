import type { Image, ImageTrust, Origin, RegistryAccess, TrustRule } from "../image/contract.ts";
import { isDigest, normalizeName } from "../image/name.ts";
import { GantryError, isGantryError, messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { Paths } from "../system/paths.ts";
import {
  combine,
  type Effective,
  type EffectiveRule,
  isCurrent,
  loadOwnPolicy,
  type TrustDefault,
} from "./effective.ts";
import { identityForDigest } from "./identity.ts";
import { readGpgKeys, readSigstoreKeys, splitKeyring } from "./keys.ts";
import { ACCEPT, type Requirement } from "./policy.ts";
import { judge } from "./sigstore.ts";
import type { LoadedPolicy, LoadedRequirement } from "./sources.ts";

/** A policy that is followed from a TUF repository. */
export interface FollowedPolicy {
  /** Undefined until the first one has arrived. */
  readonly policy: LoadedPolicy | undefined;
  /** Why what is known can't be taken for current: expired, never fetched. */
  readonly stale: string | undefined;
}

export interface TrustOptions {
  readonly paths: Pick<Paths, "etc">;
  /** What no rule covers; undefined: as policy.json says. */
  readonly default?: TrustDefault | undefined;
  /** Whether imported images are trusted because somebody imported them, or only where a rule accepts anything. */
  readonly imports: "accept" | "policy";
  readonly followed?: () => Promise<FollowedPolicy>;
  readonly log: Logger;
}

/** Images by the rules of policy.json. @see docs of containers-policy.json(5) */
export interface Trust extends ImageTrust {
  /** The rules in force, the default last. @throws GantryError invalid-config */
  effective(): Promise<Effective>;
}

export function createTrust(options: TrustOptions): Trust {
  return new PolicyTrust(options);
}

class PolicyTrust implements Trust {
  readonly #options: TrustOptions;
  #own: Awaited<ReturnType<typeof loadOwnPolicy>> | undefined;
  #combined: { readonly effective: Effective; readonly own: unknown; readonly followed: unknown } | undefined;

  constructor(options: TrustOptions) {
    this.#options = options;
  }

  async effective(): Promise<Effective> {
    const own = await this.#ownPolicy();
    const followed = (await this.#options.followed?.())?.policy;
    const known = this.#combined;
    if (known !== undefined && known.own === own && known.followed === followed) return known.effective;
    const effective = combine({ own, followed, default: this.#options.default });
    this.#combined = { effective, own, followed };
    return effective;
  }

  async #ownPolicy(): Promise<LoadedPolicy | undefined> {
    const known = this.#own;
    if (known !== undefined && (await isCurrent(known.stamps))) return known.policy;
    this.#own = undefined; // a broken file is read again until it is whole
    const read = await loadOwnPolicy(this.#options.paths.etc);
    this.#own = read;
    return read.policy;
  }

  async rule(name: string): Promise<TrustRule> {
    const full = normalizeName(name);
    const rule = (await this.effective()).ruleFor(full);
    const followed = await this.#options.followed?.();
    if (followed?.stale !== undefined && (rule.followed || followed.policy === undefined)) {
      throw new GantryError("image-untrusted", `image ${full} is not trusted: ${followed.stale}`, {
        hint: "Nothing new is let in until the TUF repository of trust.tuf has answered; see 'gantry trust ls'.",
      });
    }
    if (rejects(rule)) throw untrusted(full, rule, "its rule rejects every image");
    return {
      digest: rule.digest,
      policyText: policyText(rule.requirements.map(({ requirement }) => forSkopeo(requirement, full))),
      explain: (error) => explain(error, full, rule),
      verify: async (digests, registry) => await verify(full, rule, digests, registry),
    };
  }

  async check(name: string, image: Image): Promise<Origin | undefined> {
    const names = isDigest(name) ? image.names : [normalizeName(name)];
    if (names.length === 0) return await this.#checkName(undefined, image);
    let refused: unknown;
    // By its digest an image is meant, whatever it is called: one name that is trusted will do.
    for (const one of names) {
      try {
        return await this.#checkName(one, image);
      } catch (error) {
        refused ??= error;
      }
    }
    throw refused;
  }

  async #checkName(name: string | undefined, image: Image): Promise<Origin | undefined> {
    const origin = image.origins.find((one) => one.name === name);
    let effective: Effective;
    try {
      effective = await this.effective();
    } catch (error) {
      // Nothing new is let in by a policy that can't be read, but what was let in may go on.
      if (origin === undefined && this.#options.imports === "policy") throw error;
      this.#options.log.warn(
        { image: name, error: messageOf(error) },
        "the policy can't be read; an earlier one goes on",
      );
      if (this.#combined === undefined) return undefined;
      effective = this.#combined.effective;
    }
    const rule = name === undefined ? undefined : effective.ruleFor(name);
    if (origin === undefined) return this.#checkImported(name ?? image.digest, rule);
    if (rule === undefined || acceptsAnything(rule)) return undefined;
    if (rejects(rule)) throw untrusted(name ?? image.digest, rule, "its rule rejects every image");
    return origin.policy === rule.digest ? undefined : origin;
  }

  /** No signature comes with a file: whoever imports it vouches for it, unless a rule says that it is unwanted. */
  #checkImported(name: string, rule: EffectiveRule | undefined): undefined {
    if (rule === undefined || acceptsAnything(rule)) return undefined;
    const byDefault = rule.scope === undefined;
    if (rejects(rule) && !byDefault) throw untrusted(name, rule, "its rule rejects every image");
    if (this.#options.imports === "accept") return undefined;
    throw untrusted(
      name,
      rule,
      "it was imported, and the setting trust.imports lets in only what the rule accepts unsigned",
    );
  }
}

function rejects({ requirements }: EffectiveRule): boolean {
  return requirements.some(({ requirement }) => requirement.type === "reject");
}

function acceptsAnything({ requirements }: EffectiveRule): boolean {
  return requirements.every(({ requirement }) => requirement.type === "insecureAcceptAnything");
}

function policyText(requirements: readonly Requirement[]): string {
  return JSON.stringify({ default: requirements });
}

/** The image is copied by its digest; sigstore signatures are for us to check. */
function forSkopeo(requirement: Requirement, name: string): Requirement {
  switch (requirement.type) {
    case "signedBy":
      return { ...requirement, signedIdentity: identityForDigest(requirement.signedIdentity, name) };
    case "sigstoreSigned":
      return ACCEPT;
    case "insecureAcceptAnything":
    case "reject":
      return requirement;
  }
}

/** @returns who signed. @throws GantryError image-untrusted; and what asking the registry throws */
async function verify(
  name: string,
  rule: EffectiveRule,
  digests: readonly string[],
  registry: RegistryAccess,
): Promise<readonly string[]> {
  const signers: string[] = [];
  for (const loaded of rule.requirements) {
    switch (loaded.requirement.type) {
      case "signedBy":
        signers.push(...(await gpgSigners(loaded, name, registry)));
        break;
      case "sigstoreSigned":
        signers.push(await sigstoreSigner(loaded, name, rule, digests, registry));
        break;
      case "insecureAcceptAnything":
      case "reject":
        break;
    }
  }
  return [...new Set(signers)];
}

/** skopeo has said that one of the keyring's keys signed; which, it does not tell: it is asked about each. */
async function gpgSigners(loaded: LoadedRequirement, name: string, registry: RegistryAccess): Promise<string[]> {
  const { requirement } = loaded;
  if (requirement.type !== "signedBy") return [];
  const ring = keyBytes(requirement);
  const keys = await readGpgKeys(ring, loaded.keyNames.join(", "));
  if (keys.length === 1) return keys.map(({ label }) => label);
  const rings = await splitKeyring(ring, keys);
  const signers: string[] = [];
  for (const { fingerprint, label } of keys) {
    const keyData = rings.get(fingerprint)?.toString("base64");
    if (keyData === undefined || keyData === "") continue;
    if (await registry.allows(policyText([forSkopeo({ ...requirement, keyData }, name)]))) signers.push(label);
  }
  return signers;
}

async function sigstoreSigner(
  { requirement, keyNames }: LoadedRequirement,
  name: string,
  rule: EffectiveRule,
  digests: readonly string[],
  registry: RegistryAccess,
): Promise<string> {
  if (requirement.type !== "sigstoreSigned") return "";
  const keys = readSigstoreKeys(keyBytes(requirement), keyNames.join(", "));
  const claim = { name, digests, identity: requirement.signedIdentity };
  const reasons: string[] = [];
  for (const digest of digests) {
    for (const attachment of await registry.attachments(digest)) {
      const judgement = judge(attachment, keys, claim);
      if (judgement.type === "good") return judgement.key.label;
      reasons.push(judgement.why);
    }
  }
  throw untrusted(name, rule, reasons.length === 0 ? "it has no sigstore signature" : [...new Set(reasons)].join("; "));
}

function keyBytes({ keyData = "" }: { readonly keyData?: string | undefined }): Buffer {
  return Buffer.from(keyData, "base64");
}

/** skopeo's refusal, with the rule that asked for it. Other errors pass. */
async function explain(error: unknown, name: string, rule: EffectiveRule): Promise<unknown> {
  if (!isGantryError(error, "image-untrusted")) return error;
  const said = error.message.replace(/^.*Source image rejected: /, "");
  return untrusted(name, rule, said, await wantedSigners(rule), error);
}

/** Who would have to sign, for people. */
export async function wantedSigners({ requirements }: Pick<EffectiveRule, "requirements">): Promise<string[]> {
  const wanted = await Promise.all(
    requirements.map(async ({ requirement, keyNames }) => {
      const name = keyNames.join(", ");
      switch (requirement.type) {
        case "signedBy":
          return (await readGpgKeys(keyBytes(requirement), name)).map(({ label }) => label);
        case "sigstoreSigned":
          return readSigstoreKeys(keyBytes(requirement), name).map(({ label }) => label);
        case "insecureAcceptAnything":
        case "reject":
          return [];
      }
    }),
  );
  return wanted.map((labels) => labels.join(" or ")).filter((text) => text !== "");
}

function untrusted(
  name: string,
  rule: EffectiveRule,
  why: string,
  wanted: readonly string[] = [],
  cause?: unknown,
): GantryError {
  const { scope, from } = rule;
  const what =
    scope === undefined ? "the default" : scope === "" ? "the default for registries" : `the rule for ${scope}`;
  const asks = wanted.length === 0 ? "" : `, which asks for a signature by ${wanted.join(" and by ")}`;
  const prefix = scope || normalizeForHint(name);
  const hint =
    wanted.length > 0
      ? `Have it signed with that key, or change the rule: gantry trust add --prefix ${prefix} --replace … ('gantry trust ls' lists them).`
      : `If you trust it: gantry trust add --prefix ${prefix} ${scope ? "--replace " : ""}--accept, or with --gpg KEY or --sigstore KEY ('gantry trust ls' lists the rules).`;
  return new GantryError("image-untrusted", `image ${name} is not trusted: ${why} (${what} in ${from}${asks})`, {
    hint,
    details: { image: name, scope: scope ?? "", policy: from },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A repository, as a prefix for a rule. */
function normalizeForHint(name: string): string {
  return name.replace(/@.*$/, "").replace(/:[^/]*$/, "");
}
