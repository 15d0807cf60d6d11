/** Columns of what pods are given, and of the node, as a cluster has them. Pure. */
import { at } from "../../patch/plain.ts";
import {
  ageColumn,
  type Columns,
  listAt,
  NONE,
  nameColumn,
  namesAt,
  numberAt,
  orEmpty,
  since,
  text,
  textAt,
  wide,
} from "./column.ts";

export const CORE_COLUMNS = {
  ConfigMap: [
    nameColumn,
    {
      name: "Data",
      type: "integer",
      cell: (object) => namesAt(object, "data").length + namesAt(object, "binaryData").length,
    },
    ageColumn,
  ],
  Secret: [
    nameColumn,
    text("Type", "type"),
    { name: "Data", type: "integer", cell: (object) => namesAt(object, "data").length },
    ageColumn,
  ],
  RuntimeClass: [nameColumn, text("Handler", "handler"), ageColumn],
  Namespace: [nameColumn, text("Status", "status", "phase"), ageColumn],
  Lease: [nameColumn, text("Holder", "spec", "holderIdentity"), ageColumn],
  Node: [
    nameColumn,
    { name: "Status", cell: nodeStatus },
    { name: "Roles", cell: () => NONE },
    ageColumn,
    text("Version", "status", "nodeInfo", "kubeletVersion"),
    wide({ name: "Internal-IP", cell: (object) => nodeAddress(object, "InternalIP") }),
    wide({ name: "External-IP", cell: (object) => nodeAddress(object, "ExternalIP") }),
    wide(text("OS-Image", "status", "nodeInfo", "osImage")),
    wide(text("Kernel-Version", "status", "nodeInfo", "kernelVersion")),
    wide(text("Container-Runtime", "status", "nodeInfo", "containerRuntimeVersion")),
  ],
  Event: [
    {
      name: "Last Seen",
      cell: (object, now) => since(at(object, "lastTimestamp") ?? at(object, "deprecatedLastTimestamp"), now),
    },
    text("Type", "type"),
    text("Reason", "reason"),
    { name: "Object", cell: eventObject },
    { name: "Subobject", priority: 1, cell: (object) => orEmpty(at(object, "involvedObject", "fieldPath")) },
    wide({ name: "Source", cell: (object) => textAt(object, "reportingComponent").replace(NONE, "gantry") }),
    { name: "Message", cell: (object) => orEmpty(at(object, "message") ?? at(object, "note")).trim() },
    wide({
      name: "First Seen",
      cell: (object, now) => since(at(object, "firstTimestamp") ?? at(object, "deprecatedFirstTimestamp"), now),
    }),
    wide({
      name: "Count",
      type: "integer",
      cell: (object) => numberAt(object, "count") || numberAt(object, "deprecatedCount"),
    }),
    wide(nameColumn),
  ],
} satisfies Columns;

function nodeStatus(node: unknown): string {
  const ready = listAt(node, "status", "conditions").find((one) => at(one, "type") === "Ready");
  if (ready === undefined) return "Unknown";
  const said = at(ready, "status") === "True" ? "Ready" : "NotReady";
  return at(node, "spec", "unschedulable") === true ? `${said},SchedulingDisabled` : said;
}

function nodeAddress(node: unknown, type: string): string {
  const found = listAt(node, "status", "addresses").find((one) => at(one, "type") === type);
  return found === undefined ? NONE : textAt(found, "address");
}

function eventObject(event: unknown): string {
  const object = at(event, "involvedObject") ?? at(event, "regarding");
  return `${textAt(object, "kind").toLowerCase()}/${textAt(object, "name")}`;
}
