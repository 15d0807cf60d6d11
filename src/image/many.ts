import { GantryError, isGantryError } from "../system/errors.ts";
import { isDigest, normalizeName, parseReference } from "./name.ts";

/** The full names in an archive, each once; names that nobody could ask for (a bare tag) are left out. Pure. */
export function fullNames(names: readonly string[]): string[] {
  const full = names.flatMap((name) => {
    // A bare tag would become docker.io/library/<tag>:latest, which nobody meant.
    if (!/[/:@]/.test(name)) return [];
    try {
      return [normalizeName(name)];
    } catch (error) {
      if (isGantryError(error, "name-invalid")) return [];
      throw error;
    }
  });
  return [...new Set(full)];
}

/** @throws GantryError image-invalid: it takes a name to import what has none */
export function requireNames(names: readonly string[]): void {
  if (names.length > 0) return;
  throw new GantryError("image-invalid", "no image in the archive has a full name of its own", {
    hint: "Say what to call it: gantry image import FILE NAME.",
  });
}

/** The digest in "repository@sha256:…", if the name has one. */
export function digestIn(name: string): string | undefined {
  const { digest } = parseReference(name);
  return digest !== undefined && isDigest(digest) ? digest : undefined;
}
