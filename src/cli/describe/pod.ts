import type { EventObject } from "../../api/client.ts";
import type { PodObject } from "../../api/contract.ts";
import type { Problem } from "../../manifest/index.ts";
import { podSummary } from "../../pod/rules/summary.ts";
import { lastSeen } from "../commands/events.ts";
import type { Colors } from "../output/color.ts";
import { type Field, pairs, renderFields } from "../output/fields.ts";
import { manifestOf, runtimeOf } from "../output/pod-table.ts";
import { problemLines } from "../output/problems.ts";
import { signersOf } from "../output/signers.ts";
import { renderTable } from "../output/table.ts";
import { namespaceOf } from "../pods.ts";
import { sandboxDetail } from "../sandbox-detail.ts";
import { describeContainer } from "./container.ts";
import { timeAndAge } from "./time.ts";
import { describeVolume } from "./volume.ts";

export interface PodReport {
  readonly pod: PodObject;
  /** Of this pod, oldest first. */
  readonly events: readonly EventObject[];
  /** Errors and warnings about this pod's manifest. */
  readonly problems: readonly Problem[];
}

/** Everything about a pod, in the order and words of `kubectl describe pod`. */
export function describePod({ pod, events, problems }: PodReport, colors: Colors, now: number): string {
  const { spec, status } = pod;
  const sections = [
    renderFields(headOf(pod, now)),
    problems.length === 0
      ? []
      : ["Manifest problems:", ...problems.flatMap((problem) => problemLines(problem, colors, "  "))],
    containersOf("Init Containers", spec.initContainers ?? [], status.initContainerStatuses, pod, now),
    containersOf("Containers", spec.containers, status.containerStatuses, pod, now),
    conditionsOf(pod),
    spec.volumes === undefined || spec.volumes.length === 0
      ? ["Volumes:  <none>"]
      : ["Volumes:", ...spec.volumes.flatMap(describeVolume)],
    eventsOf(events, colors, now),
  ];
  return `${sections.flat().join("\n")}\n`;
}

/** Annotations that the daemon adds, and that have a place of their own here. */
const SHOWN_APART: ReadonlySet<string> = new Set([
  "gantry.dev/manifest",
  "gantry.dev/runtime-class",
  "gantry.dev/warnings",
  "gantry.dev/sandbox",
  "gantry.dev/signed-by",
  "gantry.dev/auto-update-status",
]);

function headOf(pod: PodObject, now: number): Field[] {
  const { metadata, spec, status } = pod;
  const summary = podSummary(pod, now);
  const annotations = Object.entries(metadata.annotations ?? {}).filter(([name]) => !SHOWN_APART.has(name));
  return [
    ["Name", metadata.name],
    ["Namespace", namespaceOf(pod)],
    ["UID", metadata.uid],
    ["Manifest", manifestOf(pod) ?? "<unknown>"],
    ["Runtime Class", runtimeOf(pod)],
    ["Node", spec.nodeName],
    ["Created", timeAndAge(metadata.creationTimestamp, now)],
    ["Started", timeAndAge(status.startTime, now)],
    ["Deleting", timeAndAge(metadata.deletionTimestamp, now)],
    ["Labels", pairs(metadata.labels)],
    ["Annotations", pairs(Object.fromEntries(annotations))],
    ["Status", summary.status],
    ["Ready", summary.ready],
    ["Auto-Update", metadata.annotations?.["gantry.dev/auto-update-status"]],
    ["Reason", status.reason],
    ["Message", status.message],
    ["IP", status.podIP ?? "<none>"],
    ["IPs", status.podIPs !== undefined && status.podIPs.length > 1 ? status.podIPs.map(({ ip }) => ip) : undefined],
    ["Host Network", spec.hostNetwork === true ? "true" : undefined],
    ["Hostname", spec.hostname],
    ["QoS Class", status.qosClass],
    ["Resources", spec.resources === undefined ? undefined : amountsOf(spec.resources)],
    ["Overhead", spec.overhead === undefined ? undefined : pairs(spec.overhead)],
    ["Restart Policy", spec.restartPolicy],
    ["Grace Period", `${spec.terminationGracePeriodSeconds}s`],
    ["Sandbox", sandboxOf(pod)],
    ["Deadline", spec.activeDeadlineSeconds === undefined ? undefined : `${spec.activeDeadlineSeconds}s`],
  ];
}

/** What the driver tells about the sandbox: OCI runtime, network namespace … */
function sandboxOf(pod: PodObject): string[] | undefined {
  const { why = "", ...detail } = sandboxDetail(pod);
  const lines = Object.entries(detail).map(([name, value]) =>
    name === "accelerator" && why !== "" ? `${name} ${value} (${why})` : `${name} ${value}`,
  );
  return lines.length === 0 ? undefined : lines;
}

function containersOf(
  title: string,
  containers: PodObject["spec"]["containers"],
  statuses: PodObject["status"]["containerStatuses"] | undefined,
  pod: PodObject,
  now: number,
): string[] {
  if (containers.length === 0) return [];
  const signers = signersOf(pod);
  const byName = new Map((statuses ?? []).map((status) => [status.name, status]));
  return [
    `${title}:`,
    ...containers.flatMap((container) =>
      describeContainer(container, byName.get(container.name), signers[container.name], now),
    ),
  ];
}

function conditionsOf({ status }: PodObject): string[] {
  const { conditions } = status;
  if (conditions.length === 0) return ["Conditions:  <none>"];
  const rows = conditions.map(({ type, status: value, reason, message }) => [
    type,
    value,
    [reason, message].filter(Boolean).join(": "),
  ]);
  return ["Conditions:", ...indented(renderTable(["Type", "Status", "Reason"], rows))];
}

function eventsOf(events: readonly EventObject[], colors: Colors, now: number): string[] {
  if (events.length === 0) return ["Events:  <none>"];
  const rows = events.map((event) => [
    { text: event.type, ...(event.type === "Warning" && { paint: colors.yellow }) },
    event.reason,
    lastSeen(event, now),
    event.message,
  ]);
  return ["Events:", ...indented(renderTable(["Type", "Reason", "Age", "Message"], rows))];
}

function indented(table: string): string[] {
  return table
    .trimEnd()
    .split("\n")
    .map((line) => `  ${line}`);
}

/** What the pod asks for as a whole. */
function amountsOf({ requests, limits }: NonNullable<PodObject["spec"]["resources"]>): string[] {
  return Object.entries({ requests, limits }).flatMap(([list, amounts]) =>
    amounts === undefined ? [] : [`${list}: ${pairs(amounts).join(", ")}`],
  );
}
