import type { EventObject } from "../../api/client.ts";
import type { PodObject, ServedObject } from "../../api/contract.ts";
import type { Problem } from "../../manifest/index.ts";
import { podSummary } from "../../pod/rules/summary.ts";
import { lastSeen } from "../commands/events.ts";
import { conditionsOf, labelOf } from "../objects.ts";
import type { Colors } from "../output/color.ts";
import { type Field, pairs, renderFields } from "../output/fields.ts";
import { objectSummary } from "../output/object-table.ts";
import { problemLines } from "../output/problems.ts";
import { renderTable } from "../output/table.ts";
import { timeAndAge } from "./time.ts";

export interface ObjectReport {
  readonly object: ServedObject;
  /** What it keeps: ReplicaSets, Jobs. */
  readonly children: readonly ServedObject[];
  /** Its own, and those of its children. */
  readonly pods: readonly PodObject[];
  readonly events: readonly EventObject[];
  readonly problems: readonly Problem[];
  /** Of a Service: "10.77.0.2:8080" */
  readonly endpoints?: readonly string[];
}

/** Everything about a Deployment, Job …, in the manner of `kubectl describe`. */
export function describeObject(
  { object, children, pods, events, problems, endpoints }: ObjectReport,
  colors: Colors,
  now: number,
): string {
  const { kind, metadata, status } = object;
  const summary = objectSummary(object);
  const { "gantry.dev/manifest": manifest, ...annotations } = metadata.annotations ?? {};
  const numbers = Object.entries(status ?? {}).filter(
    ([, value]) => typeof value === "number" || typeof value === "string",
  );
  const head: Field[] = [
    ["Name", metadata.name],
    ["Namespace", metadata.namespace],
    ["Kind", kind],
    ["UID", metadata.uid],
    ["Manifest", manifest],
    ["Controlled By", metadata.ownerReferences?.map((owner) => `${owner.kind}/${owner.name}`)],
    ["Created", timeAndAge(metadata.creationTimestamp, now)],
    ["Labels", pairs(metadata.labels)],
    ["Annotations", pairs(annotations)],
    ["Ready", summary.ready],
    ["Status", summary.status],
    ...(endpoints === undefined ? [] : [["Endpoints", endpoints.join(", ") || "none is ready"] satisfies Field]),
    ...numbers.map(([name, value]): Field => [name, String(value)]),
  ];
  const conditions = conditionsOf(object).map(({ type, status: is, reason, message }) => [
    type,
    is,
    `${reason}: ${message}`,
  ]);
  const kept = children.map((child) => {
    const { ready, status: word } = objectSummary(child);
    const revision = child.metadata.annotations?.["deployment.kubernetes.io/revision"] ?? "-";
    return [labelOf(child), ready, word, revision];
  });
  const podRows = pods.map((pod) => {
    const { ready, status: word, restarts, age } = podSummary(pod, now);
    return [pod.metadata.name, ready, word, restarts, age];
  });
  const eventRows = events.map((event) => [event.type, event.reason, lastSeen(event, now), event.message]);
  const lines = [
    ...renderFields(head),
    ...(problems.length === 0
      ? []
      : ["Manifest problems:", ...problems.flatMap((one) => problemLines(one, colors, "  "))]),
    ...section("Conditions", ["Type", "Status", "Reason"], conditions),
    ...section("Children", ["Name", "Ready", "Status", "Revision"], kept),
    ...section("Pods", ["Name", "Ready", "Status", "Restarts", "Age"], podRows),
    ...section("Events", ["Type", "Reason", "Age", "Message"], eventRows),
  ];
  return `${lines.join("\n")}\n`;
}

function section(title: string, header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  if (rows.length === 0) return [`${title}:  <none>`];
  const table = renderTable(
    [...header],
    rows.map((row) => [...row]),
  );
  return [
    `${title}:`,
    ...table
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`),
  ];
}
