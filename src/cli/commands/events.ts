import type { EventObject, WatchOptions } from "../../api/client.ts";
import { GantryError } from "../../system/errors.ts";
import type { Context } from "../context.ts";
import { ALL_NAMESPACES, listedNamespace } from "../namespaces.ts";
import { formatAge } from "../output/age.ts";
import { type Row, renderRow, renderTable, widthsOf } from "../output/table.ts";
import { parsePodRef } from "../parse/pod-name.ts";
import { podNotFound } from "../pods.ts";
import type { Call, CommandSpec } from "../spec.ts";
import { followWatch } from "../watch.ts";

export const events: CommandSpec = {
  summary: "What happened, oldest first",
  arguments: [{ syntax: "[pod]", description: "only what is about this pod", complete: "pod" }],
  options: [
    { flags: "-w, --watch", description: "go on and print what happens" },
    {
      flags: "--types <types>",
      description: "only these, separated by commas: Normal, Warning",
      complete: ["Normal", "Warning"],
    },
    ALL_NAMESPACES,
  ],
  outputs: ["table", "json", "yaml"],
  examples: [
    { line: "gantry events web", does: "of one pod" },
    { line: "gantry events -w --types Warning", does: "follow what goes wrong" },
  ],
  run,
};

const HEADER = ["LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];

async function run(call: Call): Promise<undefined> {
  const { args, flags, context } = call;
  const { out } = context;
  const listed = listedNamespace(call);
  const types = typesOf(flags.text("types"));
  const wanted = (event: EventObject): boolean => types === undefined || types.has(event.type);
  const [name] = args;
  const ref = name === undefined ? undefined : parsePodRef(name, context);
  const scope: WatchOptions =
    ref !== undefined
      ? { namespace: ref.namespace, fieldSelector: `involvedObject.kind=Pod,involvedObject.name=${ref.name}` }
      : listed === undefined
        ? {}
        : { namespace: listed };
  const client = await context.client();
  const list = await client.listEvents(scope);
  const shown = list.items.filter(wanted);
  if (ref !== undefined && list.items.length === 0) {
    // No events and no pod: a typing error. No events and a pod: nothing happened yet, or it is long ago.
    const pods = await client.listPods({ namespace: ref.namespace });
    if (!pods.items.some((pod) => pod.metadata.name === ref.name)) throw await podNotFound(client, ref);
  }
  const structured = out.format === "json" || out.format === "yaml";
  const rows = shown.map((event) => rowOf(event, context));
  if (!structured) {
    if (rows.length > 0) out.write(renderTable(HEADER, rows));
    else if (!flags.on("watch")) out.note("No events.");
  } else if (!flags.on("watch")) {
    await out.structured({ ...list, items: shown });
  } else {
    for (const event of shown) await showObject(context, event);
  }
  if (!flags.on("watch")) return undefined;
  let widths = widthsOf(HEADER, rows);
  let headed = rows.length > 0;
  const from = { ...scope, resourceVersion: list.metadata.resourceVersion };
  for await (const { type, object } of followWatch((options) => client.watchEvents(options), from, context.signal)) {
    if (type === "DELETED" || !wanted(object)) continue;
    if (structured) {
      await showObject(context, object);
      continue;
    }
    const row = rowOf(object, context);
    // The message comes last and may be long: it makes no later row wider.
    widths = widthsOf(HEADER, [row], widths);
    if (!headed) out.line(renderRow(HEADER, widths));
    headed = true;
    out.line(renderRow(row, widths));
  }
  return undefined;
}

/** "5m", or "5m (x3 over 10m)" for what happened several times. */
export function lastSeen(event: EventObject, now: number): string {
  const last = formatAge(event.lastTimestamp, now);
  return event.count > 1 ? `${last} (x${event.count} over ${formatAge(event.firstTimestamp, now)})` : last;
}

function rowOf(event: EventObject, { out, now }: Context): Row {
  const type = { text: event.type, ...(event.type === "Warning" && { paint: out.colors.yellow }) };
  return [lastSeen(event, now()), type, event.reason, objectOf(event), event.message];
}

function objectOf({ involvedObject: { kind, namespace, name } }: EventObject): string {
  // The message names the whole path.
  if (kind === "Manifest") return `manifest/${name.slice(name.lastIndexOf("/") + 1)}`;
  const prefix = namespace !== undefined && namespace !== "default" ? `${namespace}/` : "";
  return `${kind.toLowerCase()}/${prefix}${name}`;
}

async function showObject({ out }: Context, event: EventObject): Promise<void> {
  if (out.format === "json") return out.line(JSON.stringify(event));
  out.line("---");
  await out.structured(event);
}

function typesOf(text: string | undefined): Set<string> | undefined {
  if (text === undefined) return undefined;
  const types = text.split(",");
  const odd = types.find((type) => type !== "Normal" && type !== "Warning");
  if (odd === undefined) return new Set(types);
  throw new GantryError("usage", `--types '${odd}' is not known`, {
    hint: "Choose Normal, Warning or both: Normal,Warning",
  });
}
