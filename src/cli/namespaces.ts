import { GantryError } from "../system/errors.ts";
import type { Call, OptionSpec } from "./spec.ts";

export const ALL_NAMESPACES: OptionSpec = { flags: "-A, --all-namespaces", description: "pods of every namespace" };

/**
 * The namespace that a listing is limited to; undefined for all of them.
 * @throws GantryError `usage` when both -n and -A are given
 */
export function listedNamespace({ flags, context }: Call): string | undefined {
  if (flags.on("allNamespaces") && context.namespace !== undefined) {
    throw new GantryError("usage", "-n and -A exclude each other", { hint: "Leave one of them out." });
  }
  return flags.on("allNamespaces") ? undefined : (context.namespace ?? context.defaultNamespace);
}
