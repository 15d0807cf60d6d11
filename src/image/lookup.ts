import { GantryError } from "../system/errors.ts";
import type { ImageRecord } from "./index-file.ts";
import { isDigest, normalizeName, parseReference } from "./name.ts";

const SHORTEST_ID = 12;

/**
 * The image that a name means: by its full name, by "name@sha256:…" (a digest under which its registry has it, the
 * manifest's or the config's here), or by its id "sha256:…". Pure. @throws GantryError name-invalid
 */
export function findImage(records: readonly ImageRecord[], name: string): ImageRecord | undefined {
  if (isDigest(name)) return records.find((record) => record.digest === name);
  const { digest } = parseReference(name);
  if (digest !== undefined) {
    return records.find(
      (record) => record.digest === digest || record.manifest === digest || record.aliases.includes(digest),
    );
  }
  const full = normalizeName(name);
  return records.find((record) => record.names.includes(full));
}

/** What was pulled last under a name, when it has that digest in its registry and came in by that policy. Pure. */
export function findPulled(
  records: readonly ImageRecord[],
  name: string,
  digest: string,
  policy: string,
): ImageRecord | undefined {
  return records.find(
    ({ names, origins }) =>
      // One that another image has taken the name from remembers where it came from.
      names.includes(name) &&
      origins.some((origin) => origin.name === name && origin.digest === digest && origin.policy === policy),
  );
}

/** What `image rm` is about. `name` is undefined when it was given by id, which means all its names. */
export interface Target {
  readonly record: ImageRecord;
  readonly name: string | undefined;
}

/**
 * Like `findImage`, and also by at least 12 digits of an id, as lists show it. Pure.
 * @throws GantryError name-invalid, not-found
 */
export function findTarget(records: readonly ImageRecord[], nameOrId: string): Target {
  const hex = /^(?:sha256:)?([0-9a-f]{12,64})$/.exec(nameOrId)?.[1];
  const byId = hex === undefined ? [] : records.filter((record) => record.digest.startsWith(`sha256:${hex}`));
  const [first, ...others] = byId;
  if (first !== undefined && others.length === 0) return { record: first, name: undefined };
  if (others.length > 0)
    throw new GantryError("usage", `the id ${nameOrId} is short for ${byId.length} images`, {
      hint: "Give more of its digits.",
    });
  const missing = (shown: string): GantryError =>
    new GantryError("not-found", `no image ${shown}`, {
      hint: `'gantry image ls' lists the images; an id needs at least ${SHORTEST_ID} digits.`,
    });
  if (nameOrId.startsWith("sha256:")) throw missing(nameOrId);
  const record = findImage(records, nameOrId);
  if (record === undefined) throw missing(normalizeName(nameOrId));
  const { digest } = parseReference(nameOrId);
  return { record, name: digest === undefined ? normalizeName(nameOrId) : undefined };
}
