import type { Volume } from "../../manifest/index.ts";
import { type Field, renderFields } from "../output/fields.ts";

/** A volume and where its content comes from. */
export function describeVolume(volume: Volume): string[] {
  return [`  ${volume.name}:`, ...renderFields(sourceOf(volume), 4)];
}

function sourceOf(volume: Volume): Field[] {
  if (volume.emptyDir !== undefined) {
    return [
      ["Type", "emptyDir (lives as long as the pod)"],
      ["Medium", volume.emptyDir.medium || undefined],
      ["Size Limit", volume.emptyDir.sizeLimit === undefined ? undefined : String(volume.emptyDir.sizeLimit)],
    ];
  }
  if (volume.hostPath !== undefined) {
    return [
      ["Type", `hostPath${volume.hostPath.type === "" ? "" : ` (${volume.hostPath.type})`}`],
      ["Path", volume.hostPath.path],
    ];
  }
  if (volume.configMap !== undefined) {
    return [
      ["Type", "configMap"],
      ["Name", volume.configMap.name],
      ["Optional", String(volume.configMap.optional ?? false)],
    ];
  }
  if (volume.secret !== undefined) {
    return [
      ["Type", "secret"],
      ["Name", volume.secret.secretName],
      ["Optional", String(volume.secret.optional ?? false)],
    ];
  }
  if (volume.projected !== undefined) {
    const parts = (volume.projected.sources ?? []).map(({ configMap, secret, downwardAPI }) =>
      [configMap && `ConfigMap ${configMap.name}`, secret && `Secret ${secret.name}`, downwardAPI && "downwardAPI"]
        .filter((part) => part !== undefined)
        .join(", "),
    );
    return [
      ["Type", "projected (several sources in one directory)"],
      ["Sources", parts.join("; ") || undefined],
    ];
  }
  if (volume.downwardAPI !== undefined) {
    const items = (volume.downwardAPI.items ?? []).map(({ path, fieldRef, resourceFieldRef }) =>
      resourceFieldRef === undefined
        ? `${path} = ${fieldRef?.fieldPath}`
        : `${path} = ${resourceFieldRef.resource} of ${resourceFieldRef.containerName}`,
    );
    return [
      ["Type", "downwardAPI (fields of the pod)"],
      ["Items", items.join("; ") || undefined],
    ];
  }
  if (volume.persistentVolumeClaim !== undefined) {
    return [
      ["Type", "persistentVolumeClaim (see 'gantry volume describe')"],
      ["Claim", volume.persistentVolumeClaim.claimName],
      ["Read Only", String(volume.persistentVolumeClaim.readOnly ?? false)],
    ];
  }
  if (volume.ephemeral !== undefined) {
    const spec = volume.ephemeral.volumeClaimTemplate?.spec;
    return [
      ["Type", "ephemeral (a claim that goes with the pod)"],
      ["Size", spec?.resources?.requests?.["storage"]],
      ["Access Modes", spec?.accessModes?.join(", ")],
    ];
  }
  if (volume.image !== undefined) {
    return [
      ["Type", "image (read-only)"],
      ["Reference", volume.image.reference],
      ["Pull Policy", volume.image.pullPolicy],
    ];
  }
  const [type] = Object.keys(volume).filter((key) => key !== "name");
  return [["Type", type ?? "unknown"]];
}
