/** Checks of volumes. */
import type { FieldPath } from "../issue.ts";
import { parseQuantity } from "../quantity.ts";
import { type KeyToPath, type Volume, volumeSourceNames } from "../schema/index.ts";
import type { Report } from "./index.ts";
import { unique } from "./unique.ts";

export function validateVolumes(volumes: readonly Volume[], report: Report): void {
  unique(volumes, ["spec", "volumes"], (volume) => volume.name, "name", report, "the volume name");
  for (const [index, volume] of volumes.entries()) {
    const path: FieldPath = ["spec", "volumes", index];
    const given = volumeSourceNames.filter((name) => Object.hasOwn(volume, name));
    const [first, second] = given;
    if (second !== undefined)
      report([...path, second], `the volume has the source ${first}, too`, "a volume has exactly one source");
    validateSource(volume, path, report);
  }
}

function validateSource(volume: Volume, path: FieldPath, report: Report): void {
  const { emptyDir, hostPath, configMap, secret } = volume;
  if (emptyDir?.medium !== undefined && !/^(|Memory|HugePages(-.+)?)$/.test(emptyDir.medium)) {
    report(
      [...path, "emptyDir", "medium"],
      `${JSON.stringify(emptyDir.medium)} is not one of "", "Memory", "HugePages"`,
    );
  }
  if (emptyDir?.sizeLimit !== undefined && (parseQuantity(emptyDir.sizeLimit) ?? 0) < 0) {
    report([...path, "emptyDir", "sizeLimit"], `${emptyDir.sizeLimit} must not be negative`);
  }
  if (hostPath !== undefined) {
    const at = [...path, "hostPath", "path"];
    if (!hostPath.path.startsWith("/")) report(at, `${JSON.stringify(hostPath.path)} must be an absolute path`);
    if (hostPath.path.split("/").includes("..")) report(at, `${JSON.stringify(hostPath.path)} must not contain '..'`);
  }
  validateItems(configMap?.items, [...path, "configMap", "items"], report);
  validateItems(secret?.items, [...path, "secret", "items"], report);
}

function validateItems(items: readonly KeyToPath[] | undefined, path: FieldPath, report: Report): void {
  unique(items ?? [], path, (item) => item.path, "path", report, "the path");
  for (const [index, item] of (items ?? []).entries()) {
    if (item.path.startsWith(".."))
      report([...path, index, "path"], `${JSON.stringify(item.path)} must not start with '..'`);
  }
}
