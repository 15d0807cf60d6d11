/** Checks of volumes. */
import { type FieldPath, nearestHint } from "../issue.ts";
import { parseQuantity } from "../quantity.ts";
import { type DownwardItem, type KeyToPath, type Volume, volumeSourceNames } from "../schema/index.ts";
import { validateClaimSpec } from "./claim.ts";
import { VOLUME_FIELDS, validateFieldRef, validateResourceRef } from "./env.ts";
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
  const { emptyDir, hostPath, configMap, secret, downwardAPI, projected } = volume;
  if (emptyDir?.medium !== undefined && !/^(|Memory|HugePages(-.+)?)$/.test(emptyDir.medium)) {
    report(
      [...path, "emptyDir", "medium"],
      `${JSON.stringify(emptyDir.medium)} is not one of "", "Memory", "HugePages"`,
      nearestHint(emptyDir.medium, ["Memory", "HugePages"], "known are"),
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
  if (volume.image !== undefined && volume.image.reference === undefined)
    report([...path, "image", "reference"], "is required", "name the image, as in a container's image");
  if (volume.ephemeral !== undefined) {
    const at: FieldPath = [...path, "ephemeral", "volumeClaimTemplate"];
    const template = volume.ephemeral.volumeClaimTemplate;
    if (template === undefined) report(at, "is required");
    else validateClaimSpec(template.spec, [...at, "spec"], report);
  }
  validateItems(configMap?.items, [...path, "configMap", "items"], report);
  validateItems(secret?.items, [...path, "secret", "items"], report);
  validateDownward(downwardAPI?.items, [...path, "downwardAPI", "items"], report);
  for (const [index, source] of (projected?.sources ?? []).entries()) {
    const at: FieldPath = [...path, "projected", "sources", index];
    const [first, second] = Object.keys(source);
    if (first === undefined) report(at, "must say from what: configMap, secret or downwardAPI");
    if (second !== undefined) report([...at, second], `can't be together with ${first}`, "make two sources");
    validateItems(source.configMap?.items, [...at, "configMap", "items"], report);
    validateItems(source.secret?.items, [...at, "secret", "items"], report);
    validateDownward(source.downwardAPI?.items, [...at, "downwardAPI", "items"], report);
  }
}

function validateDownward(items: readonly DownwardItem[] | undefined, path: FieldPath, report: Report): void {
  unique(items ?? [], path, (item) => item.path, "path", report, "the path");
  for (const [index, { path: to, fieldRef, resourceFieldRef }] of (items ?? []).entries()) {
    const at: FieldPath = [...path, index];
    if (to.startsWith("..")) report([...at, "path"], `${JSON.stringify(to)} must not start with '..'`);
    if (fieldRef === undefined && resourceFieldRef === undefined)
      report(at, "must say what: fieldRef or resourceFieldRef");
    if (fieldRef !== undefined && resourceFieldRef !== undefined)
      report([...at, "resourceFieldRef"], "can't be together with fieldRef", "make two items");
    if (fieldRef !== undefined) validateFieldRef(fieldRef, [...at, "fieldRef"], report, VOLUME_FIELDS);
    if (resourceFieldRef !== undefined) {
      validateResourceRef(resourceFieldRef, [...at, "resourceFieldRef"], report);
      if (resourceFieldRef.containerName === undefined)
        report([...at, "resourceFieldRef"], "must name a container (containerName)", "a volume belongs to all of them");
    }
  }
}

function validateItems(items: readonly KeyToPath[] | undefined, path: FieldPath, report: Report): void {
  unique(items ?? [], path, (item) => item.path, "path", report, "the path");
  for (const [index, item] of (items ?? []).entries()) {
    if (item.path.startsWith(".."))
      report([...path, index, "path"], `${JSON.stringify(item.path)} must not start with '..'`);
  }
}
