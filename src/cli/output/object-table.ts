import { formatSpan } from "../../age.ts";
import type { ServedObject } from "../../api/contract.ts";
import { conditionsOf, labelOf, numberOf } from "../objects.ts";
import { type Colors, paintStatus } from "./color.ts";
import { renderTable } from "./table.ts";

/** How an object stands, in the columns of `gantry status`. */
export interface ObjectSummary {
  readonly ready: string;
  readonly upToDate: string;
  readonly available: string;
  readonly status: string;
}

const NONE = "-";

/** In the words of kubectl's columns (k8s.io/kubernetes/pkg/printers/internalversion). */
export function objectSummary(object: ServedObject): ObjectSummary {
  const { kind, spec, status } = object;
  const n = (field: string): number => numberOf(status, field);
  const conditions = conditionsOf(object);
  const is = (type: string) => conditions.find((one) => one.type === type && one.status === "True");
  switch (kind) {
    case "Deployment":
    case "StatefulSet": {
      const wanted = numberOf(spec, "replicas", 1);
      const late = conditions.find(({ reason }) => reason === "ProgressDeadlineExceeded");
      const complete = n("updatedReplicas") === wanted && n("replicas") === wanted && n("availableReplicas") === wanted;
      const word = late?.reason ?? (spec?.["paused"] === true ? "Paused" : complete ? "Complete" : "Progressing");
      return columns(`${n("readyReplicas")}/${wanted}`, n("updatedReplicas"), n("availableReplicas"), word);
    }
    case "ReplicaSet": {
      const wanted = numberOf(spec, "replicas", 1);
      const word = n("availableReplicas") === wanted ? "Complete" : "Progressing";
      return columns(`${n("readyReplicas")}/${wanted}`, NONE, n("availableReplicas"), word);
    }
    case "DaemonSet": {
      const word = n("updatedNumberScheduled") === 1 && n("numberAvailable") === 1 ? "Complete" : "Progressing";
      return columns(`${n("numberReady")}/1`, n("updatedNumberScheduled"), n("numberAvailable"), word);
    }
    case "Job": {
      const failed = is("Failed");
      const word = failed?.reason ?? (is("Complete") ? "Complete" : is("Suspended") ? "Suspended" : "Running");
      return columns(`${n("succeeded")}/${numberOf(spec, "completions", 1)}`, NONE, NONE, word);
    }
    case "CronJob": {
      const last = status?.["lastScheduleTime"];
      const word = spec?.["suspend"] === true ? "Suspended" : `${String(spec?.["schedule"] ?? "")}`;
      return columns(NONE, NONE, NONE, typeof last === "string" ? `${word}, last ${last}` : word);
    }
    default:
      return columns(NONE, NONE, NONE, addressOf(spec));
  }
}

function columns(ready: string, upToDate: number | string, available: number | string, status: string): ObjectSummary {
  return { ready, upToDate: String(upToDate), available: String(available), status };
}

/** "10.79.1.2 80:30080/TCP", as in kubectl's columns CLUSTER-IP and PORT(S). */
function addressOf(spec: ServedObject["spec"]): string {
  const address = spec?.["clusterIP"];
  const ports = portsOf(spec);
  const shown = address === "None" ? "headless" : address;
  return [...(typeof shown === "string" ? [shown] : []), ...(ports === NONE ? [] : [ports])].join(" ") || NONE;
}

function portsOf(spec: ServedObject["spec"]): string {
  const ports: unknown = spec?.["ports"];
  if (!Array.isArray(ports)) return NONE;
  const texts = ports.map((port: unknown) => (typeof port === "object" && port !== null ? portText(port) : ""));
  return texts.join(", ") || NONE;
}

function portText(port: object): string {
  const nodePort: unknown = Reflect.get(port, "nodePort");
  return `${Reflect.get(port, "port")}${nodePort === undefined ? "" : `:${nodePort}`}/${Reflect.get(port, "protocol")}`;
}

/** Children of a Deployment speak for themselves only in `describe`. */
export function isShown({ kind, metadata }: ServedObject): boolean {
  if (kind === "ControllerRevision") return false;
  return kind !== "ReplicaSet" || metadata.ownerReferences === undefined;
}

/** The table below that of the pods. @param now ms since the epoch */
export function objectTable(objects: readonly ServedObject[], colors: Colors, now: number): string {
  const namespaces = new Set(objects.map(({ metadata }) => metadata.namespace)).size > 1;
  const header = [...(namespaces ? ["NAMESPACE"] : []), "NAME", "READY", "UP-TO-DATE", "AVAILABLE", "STATUS", "AGE"];
  const sorted = [...objects].sort((a, b) => (sortKey(a) < sortKey(b) ? -1 : 1));
  const rows = sorted.map((object) => {
    const { ready, upToDate, available, status } = objectSummary(object);
    const isGood = status === "Complete";
    return [
      ...(namespaces ? [object.metadata.namespace ?? ""] : []),
      labelOf(object),
      ready,
      upToDate,
      available,
      { text: status, paint: paintStatus(colors, isGood ? "Running" : status, isGood) },
      formatSpan(now - Date.parse(object.metadata.creationTimestamp)),
    ];
  });
  return renderTable(header, rows);
}

function sortKey({ kind, metadata }: ServedObject): string {
  return `${metadata.namespace} ${kind} ${metadata.name}`;
}
