/** Patches by their media type. Pure. */
import { GantryError } from "../../system/errors.ts";
import { jsonPatch } from "./json-patch.ts";
import { mergePatch } from "./merge-patch.ts";
import { type Fields, fieldsOf } from "./plain.ts";
import { strategicMerge } from "./strategic.ts";

export const PATCH_TYPES = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
] as const;

/** @throws GantryError usage (it is no patch of this type), invalid-manifest (it can't be applied to `live`) */
export function patched(type: (typeof PATCH_TYPES)[number], live: Fields, patch: unknown): Fields {
  const result = type === "application/json-patch+json" ? jsonPatch(live, patch) : merged(type, live, patch);
  const fields = fieldsOf(result);
  if (fields !== undefined) return fields;
  throw new GantryError("invalid-manifest", "the patch leaves no object", { hint: "Nothing was changed." });
}

function merged(type: string, live: Fields, patch: unknown): unknown {
  if (fieldsOf(patch) === undefined)
    throw new GantryError("usage", "the patch is not an object", {
      hint: 'Send {"spec":{"replicas":3}}, for example.',
    });
  return type === "application/merge-patch+json" ? mergePatch(live, patch) : strategicMerge(live, patch);
}
