/** What goes wrong with the volumes of claims, in words for people. Pure. */
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { VolumeFiles } from "./files.ts";

/** The data of the volume is not there, or not all of it: `lost` says so. */
export function lostError(files: VolumeFiles, lost: string): GantryError {
  return new GantryError("volume-failed", `PersistentVolumeClaim "${files.name}": ${lost}`, {
    kind: "system",
    hint: wayOut(files),
  });
}

/** What to do about a volume that has lost its data. */
export function wayOut({ namespace, name }: { readonly namespace: string; readonly name: string }): string {
  return `Put the file back from a copy, and its pods start. To begin anew instead, take the claim out of its manifest, run 'gantry volume rm ${namespace}/${name}', and put the claim back.`;
}

/** Says whose trouble it is. */
export function aboutClaim(claim: string, error: unknown): unknown {
  if (!isGantryError(error, "volume-failed", "disk-full")) return error;
  const { code, kind, hint, message } = error;
  return new GantryError(code, `PersistentVolumeClaim "${claim}": ${message}`, {
    ...{ kind, cause: error },
    ...(code === "disk-full" ? { details: { claim } } : {}),
    ...(hint === undefined ? {} : { hint }),
  });
}
