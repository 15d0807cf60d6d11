import { GantryError } from "../system/errors.ts";
import { normalizeName, parseReference } from "./name.ts";

/** One of the images in an archive, with the names that the archive has for it. */
export interface Candidate {
  readonly names: readonly string[];
}

const MAX_SHOWN = 20;

/**
 * Which image of an archive is meant: the only one, or the one with the wanted name in it. Pure.
 * @param wanted the normalized name to import as
 * @returns its position. @throws GantryError image-invalid, listing the names inside
 */
export function chooseImage(candidates: readonly Candidate[], wanted: string): number {
  if (candidates.length === 0)
    throw new GantryError("image-invalid", "the archive holds no image", { hint: "Save it again, naming the image." });
  if (candidates.length === 1) return 0;
  const { tag } = parseReference(wanted);
  const normalized = candidates.map((candidate) => candidate.names.flatMap(tryNormalize));
  const byName = normalized.findIndex((names) => names.includes(wanted));
  if (byName !== -1) return byName;
  // OCI layouts often hold the bare tag only; good enough when it names one image.
  const byTag = candidates.flatMap((candidate, at) => (tag !== undefined && candidate.names.includes(tag) ? [at] : []));
  const [only, ...others] = byTag;
  if (only !== undefined && others.length === 0) return only;
  const names = candidates.map((candidate) => candidate.names[0] ?? "(without a name)");
  const more = names.length > MAX_SHOWN ? `, and ${names.length - MAX_SHOWN} more` : "";
  throw new GantryError(
    "image-invalid",
    `the archive holds ${candidates.length} images and none is ${wanted}: ${names.slice(0, MAX_SHOWN).join(", ")}${more}`,
    {
      hint: "Import it under one of these names.",
      details: { names },
    },
  );
}

function tryNormalize(name: string): string[] {
  try {
    return [normalizeName(name)];
  } catch {
    return []; // a bare tag, or a name that nobody could ask for
  }
}
