/** Checks of PersistentVolumeClaims, and of the templates of claims. */
import { nearestName } from "../../system/nearest.ts";
import { ACCESS_MODES, isReclaimPolicy, RECLAIM_ANNOTATION, requestedBytes } from "../claim.ts";
import type { FieldPath } from "../issue.ts";
import type { ClaimSpec, PersistentVolumeClaim } from "../schema/index.ts";
import type { Report } from "./index.ts";

export function validateClaim({ metadata, spec }: PersistentVolumeClaim, report: Report): void {
  validateReclaimPolicy(metadata.annotations, ["metadata"], report);
  validateClaimSpec(spec, ["spec"], report);
}

export function validateReclaimPolicy(
  annotations: Readonly<Record<string, string>> | undefined,
  path: FieldPath,
  report: Report,
): void {
  const policy = annotations?.[RECLAIM_ANNOTATION];
  if (policy !== undefined && !isReclaimPolicy(policy))
    report([...path, "annotations", RECLAIM_ANNOTATION], `${JSON.stringify(policy)} is not one of "Retain", "Delete"`);
}

export function validateClaimSpec(spec: ClaimSpec, path: FieldPath, report: Report): void {
  const { accessModes = [], resources } = spec;
  if (accessModes.length === 0) report([...path, "accessModes"], "is required", "e.g. [ReadWriteOnce]");
  for (const [index, mode] of accessModes.entries()) {
    if (ACCESS_MODES.some((known) => known === mode)) continue;
    const near = nearestName(mode, ACCESS_MODES);
    report(
      [...path, "accessModes", index],
      `${JSON.stringify(mode)} is no access mode`,
      near === undefined ? `known are ${ACCESS_MODES.join(", ")}` : `did you mean '${near}'?`,
    );
  }
  if (accessModes.includes("ReadWriteOncePod") && accessModes.length > 1)
    report([...path, "accessModes"], "ReadWriteOncePod can't be together with another mode", "keep one of them");
  const { volumeMode } = spec;
  if (volumeMode !== undefined && volumeMode !== "Filesystem" && volumeMode !== "Block")
    report([...path, "volumeMode"], `${JSON.stringify(volumeMode)} is not one of "Filesystem", "Block"`);
  const at = [...path, "resources", "requests", "storage"];
  if (resources?.requests?.["storage"] === undefined) report(at, "is required", "e.g. 1Gi");
  else if (requestedBytes(spec) <= 0) report(at, `${resources.requests["storage"]} must be more than nothing`);
  for (const name of Object.keys(resources?.requests ?? {}))
    if (name !== "storage")
      report([...path, "resources", "requests", name], `unknown resource '${name}'`, "storage is known");
}
