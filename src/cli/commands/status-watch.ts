import type { ApiClient, ObjectList, WatchOptions } from "../../api/client.ts";
import type { PodObject, ProblemReport } from "../../api/contract.ts";
import { listedNamespace } from "../namespaces.ts";
import { podHeader, podRow } from "../output/pod-table.ts";
import { problemSection } from "../output/problems.ts";
import { renderRow, widthsOf } from "../output/table.ts";
import { keyOfPod } from "../pods.ts";
import type { Call } from "../spec.ts";
import { followWatch } from "../watch.ts";
import { noteNoPods } from "./status.ts";

/** `gantry status -w`: the status, and after it one row (or one object) for every change, until Ctrl-C. */
export async function watchStatus(
  call: Call,
  client: ApiClient,
  list: ObjectList<PodObject>,
  report: ProblemReport,
): Promise<number> {
  const { context, args } = call;
  const { out } = context;
  const listed = listedNamespace(call);
  const structured = out.format === "json" || out.format === "yaml";
  // Namespaces may come and go while it runs, so the column is there unless it can't be needed.
  const table = {
    namespaces: args.length === 0 && listed === undefined,
    wide: out.format === "wide",
    colors: out.colors,
  };
  const rowOf = (pod: PodObject, status?: string) => podRow(pod, { ...table, now: context.now() }, status);
  const header = podHeader(table);
  const printed = new Map<string, string>();
  const show = async (pod: PodObject, widths: readonly number[], status?: string): Promise<void> => {
    if (structured) return showObject(call, pod);
    const row = rowOf(pod, status);
    // The same news twice is no news; the age alone is none either.
    const ageColumn = header.indexOf("AGE");
    const news = JSON.stringify(
      row.map((cell, at) => (at === ageColumn ? "" : typeof cell === "string" ? cell : cell.text)),
    );
    if (printed.get(keyOfPod(pod)) === news) return;
    printed.set(keyOfPod(pod), news);
    out.line(renderRow(row, widths));
  };

  let widths = widthsOf(
    header,
    list.items.map((pod) => rowOf(pod)),
  );
  if (!structured && list.items.length > 0) out.line(renderRow(header, widths));
  for (const pod of list.items) await show(pod, widths);
  if (!structured) {
    if (list.items.length === 0) await noteNoPods(call, client);
    // Not among the rows: those go on for as long as this runs.
    for (const line of problemSection(report, out.errorColors)) out.note(line);
  }
  const [only] = args.length > 0 ? list.items : [];
  const scope: WatchOptions = {
    ...(only !== undefined && {
      namespace: only.metadata.namespace ?? "default",
      fieldSelector: `metadata.name=${only.metadata.name}`,
    }),
    ...(only === undefined && listed !== undefined && { namespace: listed }),
    resourceVersion: list.metadata.resourceVersion,
  };
  let headed = list.items.length > 0;
  for await (const { type, object } of followWatch((options) => client.watchPods(options), scope, context.signal)) {
    widths = widthsOf(header, [rowOf(object)], widths);
    if (!headed && !structured) out.line(renderRow(header, widths));
    headed = true;
    await show(object, widths, type === "DELETED" ? "Deleted" : undefined);
    if (type === "DELETED") printed.delete(keyOfPod(object));
  }
  return 0;
}

/** JSON: one object per line. YAML: one document each. */
async function showObject({ context: { out } }: Call, pod: PodObject): Promise<void> {
  if (out.format === "json") return out.line(JSON.stringify(pod));
  out.line("---");
  await out.structured(pod);
}
