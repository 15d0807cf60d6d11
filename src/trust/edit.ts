/** `gantry trust`: changes policy.json, the keys beside it and registries.d, so that a crash leaves a whole policy. */
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { writeDurably } from "../image/durable.ts";
import { withLock } from "../image/lock.ts";
import { errnoOf, GantryError, messageOf, toGantryError } from "../system/errors.ts";
import { policyFiles } from "./effective.ts";
import { readGpgKeys, readSigstoreKeys, type SigningKey } from "./keys.ts";
import {
  ACCEPT,
  formatPolicy,
  type Policy,
  parsePolicy,
  REJECT,
  type Requirement,
  type SignedIdentity,
} from "./policy.ts";
import { removeLookaside, writeLookaside } from "./registries-d.ts";
import { joinKeys } from "./sources.ts";

/** What is to be asked of the images of a scope. */
export type NewRule =
  | { readonly type: "accept" }
  | { readonly type: "reject" }
  /** A signature by any of the keys in these files. */
  | { readonly type: "gpg"; readonly keyFiles: readonly string[]; readonly lookaside: string | undefined }
  | { readonly type: "sigstore"; readonly keyFiles: readonly string[] };

/** How close the identity in a signature must come to the image's name. */
export type IdentityChoice = "exact" | "repository";

export interface AddOptions {
  readonly etc: string;
  /** See `parseScope`. */
  readonly scope: string;
  readonly rule: NewRule;
  /** Absent: as exact as the kind of signature allows. cosign's own signatures name a repository and no tag. */
  readonly identity?: IdentityChoice | undefined;
  /** A rule that is there gives way. */
  readonly replace: boolean;
}

export interface Added {
  readonly file: string;
  readonly keys: readonly SigningKey[];
  readonly replaced: boolean;
}

/** @throws GantryError already-exists, invalid-config (the policy or a key), not-found (a key file), internal, disk-full */
export async function addRule(options: AddOptions): Promise<Added> {
  const { etc, scope, rule } = options;
  const [file = ""] = policyFiles(etc);
  // The keys are read and checked before anything is touched.
  const keys = await readKeys(rule);
  return await locked(etc, async () => {
    const policy = await startingPolicy(etc);
    const docker = policy.transports?.docker ?? {};
    const replaced = Object.hasOwn(docker, scope);
    if (replaced && !options.replace) {
      throw new GantryError("already-exists", `${file} has a rule for ${scope} already`, {
        hint: "See it with 'gantry trust ls'; --replace puts the new one in its place.",
      });
    }
    const requirement = await requirementFor(options, keys);
    if (rule.type === "gpg" && rule.lookaside !== undefined) await writeLookaside(etc, scope, rule.lookaside);
    else if (replaced) await removeLookaside(etc, scope);
    await write(file, withRule(policy, scope, [requirement]));
    await sweepKeys(etc);
    return { file, keys: keys.flatMap((one) => one.keys), replaced };
  });
}

/** @returns the policy's file. @throws GantryError not-found, invalid-config, internal, disk-full */
export async function removeRule(etc: string, scope: string): Promise<string> {
  const [file = ""] = policyFiles(etc);
  return await locked(etc, async () => {
    const policy = await readPolicy(file);
    if (policy === undefined || !Object.hasOwn(policy.transports?.docker ?? {}, scope)) {
      throw new GantryError("not-found", `${file} has no rule for ${scope}`, {
        hint: "'gantry trust ls' lists them; the prefix must be the same, letter by letter.",
      });
    }
    await write(file, withRule(policy, scope, undefined));
    await removeLookaside(etc, scope);
    await sweepKeys(etc);
    return file;
  });
}

/** The policy with another rule for `scope`, or none. Pure. */
export function withRule(policy: Policy, scope: string, requirements: Requirement[] | undefined): Policy {
  const { [scope]: _old, ...others } = policy.transports?.docker ?? {};
  const docker = requirements === undefined ? others : { ...others, [scope]: requirements };
  return { ...policy, transports: { ...policy.transports, docker } };
}

interface KeyFile {
  readonly name: string;
  readonly content: Buffer;
  readonly keys: readonly SigningKey[];
}

async function readKeys(rule: NewRule): Promise<KeyFile[]> {
  if (rule.type === "accept" || rule.type === "reject") return [];
  return await Promise.all(
    rule.keyFiles.map(async (path) => {
      const content = await readFile(path).catch((cause: unknown) => {
        throw new GantryError("not-found", `cannot read the key ${path}: ${messageOf(cause)}`, {
          cause,
          hint: "Give the path of a file with the public key.",
        });
      });
      const name = basename(path);
      const keys = rule.type === "gpg" ? await readGpgKeys(content, path) : readSigstoreKeys(content, path);
      return { name, content, keys };
    }),
  );
}

async function requirementFor({ etc, rule, identity }: AddOptions, keys: readonly KeyFile[]): Promise<Requirement> {
  switch (rule.type) {
    case "accept":
      return ACCEPT;
    case "reject":
      return REJECT;
    case "gpg":
      return {
        type: "signedBy",
        keyType: "GPGKeys",
        keyPath: await keepKeys(etc, keys),
        ...(identity === "repository" && { signedIdentity: REPOSITORY }),
      };
    case "sigstore":
      return {
        type: "sigstoreSigned",
        keyPath: await keepKeys(etc, keys),
        ...(identity !== "exact" && { signedIdentity: REPOSITORY }),
      };
  }
}

const REPOSITORY: SignedIdentity = { type: "matchRepository" };

function keyDir(etc: string): string {
  return join(etc, "trust", "keys");
}

/** Named after its content: a rule that is still in force never finds another key under its path. */
async function keepKeys(etc: string, keys: readonly KeyFile[]): Promise<string> {
  const content = joinKeys(keys.map((one) => one.content));
  const hex = createHash("sha256").update(content).digest("hex").slice(0, 12);
  const name = (keys[0]?.name ?? "key").replaceAll(/[^A-Za-z0-9._-]/g, "_").slice(-80);
  const file = join(keyDir(etc), `${hex}-${name}`);
  await mkdir(dirname(file), { recursive: true, mode: 0o755 });
  await writeDurably(file, content, `${file}.new`);
  return file;
}

/** Removes keys that no rule names any more. */
async function sweepKeys(etc: string): Promise<void> {
  const [file = ""] = policyFiles(etc);
  const policy = await readPolicy(file);
  const named = new Set(
    [...(policy?.default ?? []), ...Object.values(policy?.transports?.docker ?? {}).flat()].flatMap((requirement) =>
      requirement.type === "signedBy" || requirement.type === "sigstoreSigned" ? [requirement.keyPath] : [],
    ),
  );
  const dir = keyDir(etc);
  for (const name of await readdir(dir).catch(() => [])) {
    const path = join(dir, name);
    if (/^[0-9a-f]{12}-/.test(name) && !named.has(path)) await rm(path, { force: true });
  }
}

/** The policy in force is where a new one starts from, so that a first rule loosens nothing. */
async function startingPolicy(etc: string): Promise<Policy> {
  for (const file of policyFiles(etc)) {
    const policy = await readPolicy(file);
    if (policy !== undefined) return policy;
  }
  return { default: [ACCEPT] };
}

async function readPolicy(file: string): Promise<Policy | undefined> {
  try {
    return parsePolicy(await readFile(file, "utf8"), file);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw toGantryError(error, "invalid-config", `cannot read ${file}`);
  }
}

async function write(file: string, policy: Policy): Promise<void> {
  const text = formatPolicy(policy);
  parsePolicy(text, file); // what we write we can read
  await writeDurably(file, text, `${file}.new`);
}

async function locked<T>(etc: string, work: () => Promise<T>): Promise<T> {
  try {
    await mkdir(join(etc, "trust"), { recursive: true, mode: 0o755 });
    await stat(etc);
  } catch (error) {
    throw toGantryError(error, "internal", `cannot write to ${etc}`);
  }
  return await withLock(join(etc, "trust", "lock"), undefined, work).catch((error: unknown) => {
    throw toGantryError(error, "internal", "cannot change the policy");
  });
}
