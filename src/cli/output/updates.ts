import type { PodObject } from "../../api/contract.ts";
import { namespaceOf } from "../pods.ts";
import type { Colors } from "./color.ts";
import { oneLine } from "./text.ts";

/** What stands below the table about images that are being changed, or were changed back. Pure. */
export function updateSection(pods: readonly PodObject[], colors: Colors): string[] {
  const lines = pods.flatMap((pod) => {
    const { name, annotations } = pod.metadata;
    const notes = annotations?.["gantry.dev/auto-update-status"]?.split("\n") ?? [];
    const namespace = namespaceOf(pod);
    return notes.map(
      (note) => `  ${namespace === "default" ? name : `${namespace}/${name}`}: ${colors.yellow(oneLine(note))}`,
    );
  });
  return lines.length === 0 ? [] : [colors.bold("Updates:"), ...lines];
}
