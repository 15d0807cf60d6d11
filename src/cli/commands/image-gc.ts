import type { GcReport, Removal } from "../../gc/index.ts";
import { formatSpan } from "../output/age.ts";
import { withProgress } from "../output/progress.ts";
import { renderTable } from "../output/table.ts";
import { count, formatBytes, oneLine } from "../output/text.ts";
import type { Call, CommandSpec } from "../spec.ts";

export const collectImages: CommandSpec = {
  summary: "Remove images and logs that nothing uses, as the settings gc.* say",
  description:
    "The daemon does so by itself. What a manifest names or a container uses stays; imported images stay unless gc.imported is set; above gc.highPercent of the disk the others go, those first that were not used for the longest time.",
  options: [{ flags: "--dry-run", description: "only say what would be removed" }],
  outputs: ["table", "json", "yaml"],
  examples: [{ line: "gantry image gc --dry-run", does: "see what would go, and why" }],
  run,
};

const WHY: Readonly<Record<Removal["why"], string>> = {
  old: "not used for long",
  superseded: "another image has its name",
  disk: "the disk is full",
};

async function run({ flags, context }: Call): Promise<number> {
  const { out } = context;
  const { collectGarbage } = await import("../garbage.ts");
  const report = await withProgress("looking for garbage", collectGarbage(context, flags.on("dryRun")));
  if (out.format === "json" || out.format === "yaml") await out.structured(report);
  else {
    if (report.removed.length > 0) {
      const rows = report.removed.map(({ names, digest, freesBytes, lastUsedAt, why }) => [
        names[0] ?? digest.slice("sha256:".length, "sha256:".length + 12),
        formatBytes(freesBytes),
        formatSpan(context.now() - lastUsedAt),
        WHY[why],
      ]);
      out.write(renderTable(["IMAGE", "FREES", "UNUSED FOR", "WHY"], rows));
    }
    out.note(summaryOf(report));
    for (const { what, why } of report.failed) out.note(`not removed: ${oneLine(`${what}: ${why}`)}`);
  }
  return report.failed.length > 0 || report.held !== undefined ? 1 : 0;
}

function summaryOf(report: GcReport): string {
  if (report.held !== undefined) return `Nothing is removed: ${report.held}. See 'gantry status'.`;
  const what = [
    count(report.removed.length, "image"),
    ...(report.logs.length > 0 ? [count(report.logs.length, "log file")] : []),
  ];
  const did = report.dryRun ? "Would remove" : "Removed";
  const short =
    report.wantedBytes > report.freedBytes
      ? ` ${formatBytes(report.wantedBytes)} should be freed, but nothing else is unused.`
      : "";
  return `${did} ${what.join(" and ")}, ${formatBytes(report.freedBytes)}; the disk is ${report.usedPercent} % full.${short}`;
}
