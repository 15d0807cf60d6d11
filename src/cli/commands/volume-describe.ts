import type { VolumeEntry } from "../../volume/index.ts";
import { formatSpan } from "../output/age.ts";
import { renderFields } from "../output/fields.ts";
import { formatBytes } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { findVolume } from "../volumes.ts";

export const describeVolumes: CommandSpec = {
  summary: "Everything about one volume",
  arguments: [{ syntax: "<volume>", description: "NAME or NAMESPACE/NAME of its claim", complete: "volume" }],
  outputs: ["table", "json", "yaml"],
  examples: [{ line: "gantry volume describe web/data", does: "of the claim 'data' in namespace 'web'" }],
  run,
};

async function run({ args, context }: Call): Promise<undefined> {
  const { out } = context;
  const found = await findVolume(context, args[0] ?? "");
  if (out.format === "json" || out.format === "yaml") await out.structured(found);
  else for (const line of describe(found, context.now())) out.line(line);
  return undefined;
}

function describe(volume: VolumeEntry, now: number): string[] {
  const { requestedBytes, freeBytes } = volume;
  const made = volume.phase !== "Pending";
  return renderFields([
    ["Name", volume.name],
    ["Namespace", volume.namespace],
    ["Phase", `${volume.phase} (${MEANING[volume.phase]})`],
    ["Requested", requestedBytes === undefined ? undefined : formatBytes(requestedBytes)],
    ["Size", made ? formatBytes(volume.capacityBytes) : undefined],
    ["Free", freeBytes === undefined ? undefined : formatBytes(freeBytes)],
    ["On Disk", made ? formatBytes(volume.onDiskBytes) : undefined],
    ["Access Modes", volume.accessModes.join(", ") || undefined],
    ["Reclaim Policy", volume.reclaimPolicy],
    ["Storage Class", volume.storageClassName],
    ["Used By", volume.pods.length === 0 ? "<none>" : volume.pods],
    ["File", volume.file],
    ["Mounted At", volume.mountedAt],
    ["Age", volume.createdAt > 0 ? formatSpan(now - volume.createdAt) : undefined],
    ["Removed In", volume.deletesAt === undefined ? undefined : removal(volume, volume.deletesAt - now)],
    ["Problem", volume.problem],
  ]);
}

function removal({ pods }: VolumeEntry, ms: number): string {
  const when = `${formatSpan(Math.max(0, ms))}${pods.length === 0 ? "" : ", and not while a pod has it"}`;
  return `${when} (reclaim policy Delete; a claim of this name keeps it, 'gantry volume rm' removes it now)`;
}

const MEANING: Readonly<Record<VolumeEntry["phase"], string>> = {
  Pending: "made when a pod first needs it",
  Bound: "a manifest claims it",
  Released: "no manifest claims it; a claim of this name gets its data back",
  Lost: "put its file back from a copy, or begin anew: take its claim out, 'gantry volume rm' it, put the claim back",
};
