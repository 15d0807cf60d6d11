/** Whether a signature speaks of the image that was asked for: signedIdentity of containers-policy.json(5). Pure. */
import { normalizeName, parseReference, type Reference } from "../image/name.ts";
import { isGantryError } from "../system/errors.ts";
import type { SignedIdentity } from "./policy.ts";

const DEFAULT: SignedIdentity = { type: "matchRepoDigestOrExact" };

/**
 * @param name the image that was asked for
 * @param signed the docker reference in the signature; cosign writes the repository alone
 */
export function identityMatches(rule: SignedIdentity | undefined, name: string, signed: string): boolean {
  const said = read(signed);
  if (said === undefined) return false;
  const identity = rule ?? DEFAULT;
  switch (identity.type) {
    case "matchExact":
      return isExact(name, signed);
    case "matchRepoDigestOrExact":
      return matchesRepoDigestOrExact(name, signed, said);
    case "matchRepository":
      return parseReference(name).repository === said.repository;
    case "exactReference":
      return isExact(identity.dockerReference, signed);
    case "exactRepository":
      return read(identity.dockerRepository)?.repository === said.repository;
    case "remapIdentity": {
      const remapped = remap(name, identity.prefix, identity.signedPrefix);
      return read(remapped) !== undefined && matchesRepoDigestOrExact(remapped, signed, said);
    }
  }
}

function matchesRepoDigestOrExact(name: string, signed: string, said: Reference): boolean {
  const { repository, digest } = parseReference(name);
  return digest === undefined ? isExact(name, signed) : repository === said.repository;
}

/** Both must have a tag or digest of their own: "latest" is not read into a signature. */
function isExact(name: string, signed: string): boolean {
  return hasTagOrDigest(signed) && read(name) !== undefined && normalizeName(name) === normalizeName(signed);
}

function hasTagOrDigest(reference: string): boolean {
  return reference.includes("@") || reference.lastIndexOf(":") > reference.lastIndexOf("/");
}

function read(reference: string): Reference | undefined {
  try {
    return parseReference(reference);
  } catch (error) {
    if (isGantryError(error, "name-invalid")) return undefined;
    throw error;
  }
}

/** A prefix ends where a component does. */
function remap(name: string, prefix: string, signedPrefix: string): string {
  const full = normalizeName(name);
  if (!full.startsWith(prefix)) return full;
  const rest = full.slice(prefix.length);
  return rest === "" || /^[:/@]/.test(rest) ? signedPrefix + rest : full;
}

/**
 * The identity rule for an image that is asked for by digest in the place of its name, as it is when an image that is
 * held is checked again: the tag may mean another image by now, and the signature must still be for this tag.
 */
export function identityForDigest(rule: SignedIdentity | undefined, name: string): SignedIdentity {
  const identity = rule ?? DEFAULT;
  if (parseReference(name).digest !== undefined) return identity;
  switch (identity.type) {
    case "matchExact":
    case "matchRepoDigestOrExact":
      return { type: "exactReference", dockerReference: normalizeName(name) };
    case "remapIdentity":
      return { type: "exactReference", dockerReference: remap(name, identity.prefix, identity.signedPrefix) };
    case "matchRepository":
    case "exactReference":
    case "exactRepository":
      return identity;
  }
}
