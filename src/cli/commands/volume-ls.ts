import type { VolumeEntry } from "../../volume/index.ts";
import { formatSpan } from "../output/age.ts";
import { renderTable } from "../output/table.ts";
import { formatBytes, oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const listVolumes: CommandSpec = {
  summary: "List the volumes of claims, and the claims that have none yet",
  description:
    "Pending: no pod has needed it yet. Bound: a manifest claims it. Released: it has data, and no manifest claims it any more.\n" +
    "Lost: it had data, which is missing. GOES IN: when it is removed by the reclaim policy Delete, unless it is claimed again.",
  outputs: ["table", "wide", "json", "yaml"],
  examples: [
    { line: "gantry volume ls -o wide", does: "with files and policies" },
    { line: "gantry volume ls -n web -o json", does: "one namespace, for scripts" },
  ],
  run,
};

async function run({ context }: Call): Promise<undefined> {
  const { out, namespace } = context;
  const all = await (await context.client()).listVolumes();
  const items = all.filter((volume) => namespace === undefined || volume.namespace === namespace);
  if (out.format === "json" || out.format === "yaml") {
    await out.structured({ items });
    return undefined;
  }
  if (items.length === 0) {
    out.note("No volumes. Write a PersistentVolumeClaim, and name it in a pod's volumes.");
    return undefined;
  }
  const wide = out.format === "wide";
  const header = ["NAMESPACE", "NAME", "PHASE", "SIZE", "ON DISK", "USED BY", "AGE", "GOES IN"];
  const rows = items.map((volume) => [...rowOf(volume, context.now()), ...(wide ? wideOf(volume) : [])]);
  out.write(renderTable(wide ? [...header, "ACCESS MODES", "RECLAIM", "CLASS", "FILE"] : header, rows));
  for (const { namespace: where, name, problem } of items)
    if (problem !== undefined) out.note(`${where}/${name}: ${oneLine(problem)}`);
  return undefined;
}

function rowOf(volume: VolumeEntry, now: number): string[] {
  const made = volume.phase !== "Pending";
  return [
    volume.namespace,
    volume.name,
    volume.phase,
    formatBytes(made ? volume.capacityBytes : (volume.requestedBytes ?? 0)),
    made ? formatBytes(volume.onDiskBytes) : "-",
    volume.pods.join(",") || "-",
    volume.createdAt > 0 ? formatSpan(now - volume.createdAt) : "-",
    volume.deletesAt === undefined ? "-" : formatSpan(Math.max(0, volume.deletesAt - now)),
  ];
}

function wideOf({ accessModes, reclaimPolicy, storageClassName, file }: VolumeEntry): string[] {
  return [accessModes.join(","), reclaimPolicy, storageClassName ?? "-", file ?? "-"];
}
