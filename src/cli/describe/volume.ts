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
  const [type] = Object.keys(volume).filter((key) => key !== "name");
  return [["Type", type ?? "unknown"]];
}
