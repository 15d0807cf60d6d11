import type { PodObject } from "../../api/contract.ts";

/** Who signed the images of a pod's containers, by container: the daemon's annotation. Empty for those it does not name. */
export function signersOf({ metadata }: PodObject): Readonly<Record<string, readonly string[]>> {
  const text = metadata.annotations?.["gantry.dev/signed-by"];
  if (text === undefined) return {};
  const value: unknown = JSON.parse(text);
  if (typeof value !== "object" || value === null) return {};
  return Object.fromEntries(
    Object.entries(value).map(([name, signers]) => [name, Array.isArray(signers) ? signers.map(String) : []]),
  );
}
