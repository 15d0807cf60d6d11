/** The columns of every kind, as a cluster has them (kubernetes, pkg/printers/internalversion/printers.go). Pure. */
import { at, fieldsOf } from "../../patch/plain.ts";
import {
  ageColumn,
  type Column,
  duration,
  listAt,
  NONE,
  nameColumn,
  namesAt,
  numberAt,
  podColumns,
  selectorText,
  since,
  textAt,
} from "./column.ts";
import { podColumnsOfTable } from "./pod.ts";

const count = (name: string, ...path: readonly string[]): Column => ({
  name,
  type: "integer",
  cell: (object) => numberAt(object, ...path),
});
const text = (name: string, ...path: readonly string[]): Column => ({
  name,
  cell: (object) => textAt(object, ...path),
});
const wide = (column: Column): Column => ({ ...column, priority: 1 });
const template = podColumns("spec", "template", "spec");
const selector: Column = {
  name: "Selector",
  priority: 1,
  cell: (object) => selectorText(at(object, "spec", "selector")),
};

/** The names of those of a kind whom a binding is for. */
const subjects = (name: string, kind: string): Column => ({
  name,
  priority: 1,
  cell: (object) =>
    listAt(object, "subjects")
      .filter((subject) => at(subject, "kind") === kind)
      .map(
        (subject) =>
          (kind === "ServiceAccount" ? `${orEmpty(at(subject, "namespace"))}/` : "") + textAt(subject, "name"),
      )
      .join(", "),
});
const bindingColumns: readonly Column[] = [
  nameColumn,
  {
    name: "Role",
    cell: (object) => `${textAt(object, "roleRef", "kind")}/${textAt(object, "roleRef", "name")}`,
  },
  ageColumn,
  subjects("Users", "User"),
  subjects("Groups", "Group"),
  subjects("ServiceAccounts", "ServiceAccount"),
];

const COLUMNS: Readonly<Record<string, readonly Column[]>> = {
  Pod: podColumnsOfTable,
  Deployment: [
    nameColumn,
    {
      name: "Ready",
      cell: (object) => `${numberAt(object, "status", "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
    },
    count("Up-to-date", "status", "updatedReplicas"),
    count("Available", "status", "availableReplicas"),
    ageColumn,
    ...template,
    selector,
  ],
  ReplicaSet: [
    nameColumn,
    count("Desired", "spec", "replicas"),
    count("Current", "status", "replicas"),
    count("Ready", "status", "readyReplicas"),
    ageColumn,
    ...template,
    selector,
  ],
  DaemonSet: [
    nameColumn,
    count("Desired", "status", "desiredNumberScheduled"),
    count("Current", "status", "currentNumberScheduled"),
    count("Ready", "status", "numberReady"),
    count("Up-to-date", "status", "updatedNumberScheduled"),
    count("Available", "status", "numberAvailable"),
    { name: "Node Selector", cell: (object) => labelsText(at(object, "spec", "template", "spec", "nodeSelector")) },
    ageColumn,
    ...template,
    selector,
  ],
  StatefulSet: [
    nameColumn,
    {
      name: "Ready",
      cell: (object) => `${numberAt(object, "status", "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
    },
    ageColumn,
    ...template,
  ],
  ControllerRevision: [
    nameColumn,
    {
      name: "Controller",
      cell: (object) => {
        const [owner] = listAt(object, "metadata", "ownerReferences");
        return owner === undefined ? NONE : `${textAt(owner, "kind").toLowerCase()}.apps/${textAt(owner, "name")}`;
      },
    },
    { name: "Revision", type: "integer", cell: (object) => numberAt(object, "revision") },
    ageColumn,
  ],
  Job: [
    nameColumn,
    { name: "Status", cell: jobStatus },
    { name: "Completions", cell: jobCompletions },
    { name: "Duration", cell: jobDuration },
    ageColumn,
    ...template,
    selector,
  ],
  CronJob: [
    nameColumn,
    text("Schedule", "spec", "schedule"),
    text("Timezone", "spec", "timeZone"),
    { name: "Suspend", cell: (object) => (at(object, "spec", "suspend") === true ? "True" : "False") },
    { name: "Active", type: "integer", cell: (object) => listAt(object, "status", "active").length },
    { name: "Last Schedule", cell: (object, now) => sinceOrNone(at(object, "status", "lastScheduleTime"), now) },
    ageColumn,
    ...podColumns("spec", "jobTemplate", "spec", "template", "spec"),
    {
      name: "Selector",
      priority: 1,
      cell: (object) => selectorText(at(object, "spec", "jobTemplate", "spec", "selector")),
    },
  ],
  Service: [
    nameColumn,
    {
      name: "Type",
      cell: (object) => (at(object, "spec", "type") === undefined ? "ClusterIP" : textAt(object, "spec", "type")),
    },
    text("Cluster-IP", "spec", "clusterIP"),
    { name: "External-IP", cell: externalIp },
    { name: "Port(s)", cell: servicePorts },
    ageColumn,
    { name: "Selector", priority: 1, cell: (object) => labelsText(at(object, "spec", "selector")) },
  ],
  EndpointSlice: [
    nameColumn,
    text("AddressType", "addressType"),
    {
      name: "Ports",
      cell: (object) =>
        joined(
          listAt(object, "ports").map((port) => textAt(port, "port")),
          3,
          "<unset>",
        ),
    },
    {
      name: "Endpoints",
      cell: (object) =>
        joined(
          listAt(object, "endpoints").flatMap((one) => listAt(one, "addresses").map(String)),
          3,
          "<unset>",
        ),
    },
    ageColumn,
  ],
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
  PersistentVolumeClaim: [
    nameColumn,
    text("Status", "status", "phase"),
    { name: "Volume", cell: (object) => orEmpty(at(object, "spec", "volumeName")) },
    { name: "Capacity", cell: (object) => orEmpty(at(object, "status", "capacity", "storage")) },
    { name: "Access Modes", cell: (object) => listAt(object, "status", "accessModes").map(shortMode).join(",") },
    { name: "StorageClass", cell: (object) => orEmpty(at(object, "spec", "storageClassName")) },
    { name: "VolumeAttributesClass", cell: () => "<unset>" },
    ageColumn,
    wide({ name: "VolumeMode", cell: (object) => orEmpty(at(object, "spec", "volumeMode") ?? "Filesystem") }),
  ],
  PersistentVolume: [
    nameColumn,
    { name: "Capacity", cell: (object) => orEmpty(at(object, "spec", "capacity", "storage")) },
    { name: "Access Modes", cell: (object) => listAt(object, "spec", "accessModes").map(shortMode).join(",") },
    { name: "Reclaim Policy", cell: (object) => orEmpty(at(object, "spec", "persistentVolumeReclaimPolicy")) },
    { name: "Status", cell: (object) => orEmpty(at(object, "status", "phase")) },
    {
      name: "Claim",
      cell: (object) =>
        `${textAt(object, "spec", "claimRef", "namespace")}/${textAt(object, "spec", "claimRef", "name")}`,
    },
    { name: "StorageClass", cell: (object) => orEmpty(at(object, "spec", "storageClassName")) },
    { name: "VolumeAttributesClass", cell: () => "<unset>" },
    { name: "Reason", cell: (object) => orEmpty(at(object, "status", "reason")) },
    ageColumn,
    wide({ name: "VolumeMode", cell: (object) => orEmpty(at(object, "spec", "volumeMode")) }),
  ],
  Endpoints: [nameColumn, { name: "Endpoints", cell: endpoints }, ageColumn],
  RuntimeClass: [nameColumn, text("Handler", "handler"), ageColumn],
  Namespace: [nameColumn, text("Status", "status", "phase"), ageColumn],
  ServiceAccount: [
    nameColumn,
    { name: "Secrets", type: "integer", cell: (object) => listAt(object, "secrets").length },
    ageColumn,
  ],
  RoleBinding: bindingColumns,
  ClusterRoleBinding: bindingColumns,
  PodDisruptionBudget: [
    nameColumn,
    { name: "Min Available", cell: (object) => orNotApplicable(at(object, "spec", "minAvailable")) },
    { name: "Max Unavailable", cell: (object) => orNotApplicable(at(object, "spec", "maxUnavailable")) },
    count("Allowed Disruptions", "status", "disruptionsAllowed"),
    ageColumn,
  ],
  HorizontalPodAutoscaler: [
    nameColumn,
    {
      name: "Reference",
      cell: (object) =>
        `${textAt(object, "spec", "scaleTargetRef", "kind")}/${textAt(object, "spec", "scaleTargetRef", "name")}`,
    },
    { name: "Targets", cell: scalingTargets },
    { name: "MinPods", cell: (object) => String(at(object, "spec", "minReplicas") ?? "<unset>") },
    count("MaxPods", "spec", "maxReplicas"),
    count("Replicas", "status", "currentReplicas"),
    ageColumn,
  ],
  PriorityClass: [
    nameColumn,
    count("Value", "value"),
    { name: "Global-Default", type: "boolean", cell: (object) => at(object, "globalDefault") === true },
    ageColumn,
    { name: "PreemptionPolicy", cell: (object) => orEmpty(at(object, "preemptionPolicy") ?? "PreemptLowerPriority") },
  ],
  StorageClass: [
    {
      name: "Name",
      cell: (object) =>
        at(object, "metadata", "annotations", "storageclass.kubernetes.io/is-default-class") === "true"
          ? `${textAt(object, "metadata", "name")} (default)`
          : textAt(object, "metadata", "name"),
    },
    text("Provisioner", "provisioner"),
    { name: "ReclaimPolicy", cell: (object) => orEmpty(at(object, "reclaimPolicy") ?? "Delete") },
    { name: "VolumeBindingMode", cell: (object) => orEmpty(at(object, "volumeBindingMode") ?? "Immediate") },
    { name: "AllowVolumeExpansion", type: "boolean", cell: (object) => at(object, "allowVolumeExpansion") === true },
    ageColumn,
  ],
  IngressClass: [
    nameColumn,
    text("Controller", "spec", "controller"),
    { name: "Parameters", cell: parametersText },
    ageColumn,
  ],
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
};

const OTHERS: readonly Column[] = [
  nameColumn,
  { name: "Created At", cell: (object) => textAt(object, "metadata", "creationTimestamp") },
];

export function columnsOf(kind: string): readonly Column[] {
  return (Object.hasOwn(COLUMNS, kind) ? COLUMNS[kind] : undefined) ?? OTHERS;
}

function orEmpty(value: unknown): string {
  return value === undefined || value === null ? "" : String(value);
}

function orNotApplicable(value: unknown): string {
  return value === undefined ? "N/A" : String(value);
}

/** What each metric is to be; nobody measures what it is. */
function scalingTargets(object: unknown): string {
  const metrics = listAt(object, "spec", "metrics");
  const percentage = at(object, "spec", "targetCPUUtilizationPercentage");
  if (metrics.length === 0) return percentage === undefined ? NONE : `<unknown>/${String(percentage)}%`;
  const all = metrics.map((metric) => {
    const type = textAt(metric, "type");
    const field = `${type.charAt(0).toLowerCase()}${type.slice(1)}`;
    const target = at(metric, field, "target");
    const utilization = at(target, "averageUtilization");
    const wanted =
      utilization === undefined ? (at(target, "averageValue") ?? at(target, "value")) : `${String(utilization)}%`;
    const name = textAt(metric, field, "name");
    return `${name === NONE ? "" : `${name}: `}<unknown>/${orEmpty(wanted)}`;
  });
  return all.length <= 2 ? all.join(", ") : `${all.slice(0, 2).join(", ")} + ${all.length - 2} more...`;
}

function parametersText(object: unknown): string {
  const parameters = at(object, "spec", "parameters");
  if (parameters === undefined) return NONE;
  const group = at(parameters, "apiGroup");
  return `${textAt(parameters, "kind")}${group === undefined ? "" : `.${String(group)}`}/${textAt(parameters, "name")}`;
}

function sinceOrNone(time: unknown, now: number): string {
  return time === undefined ? NONE : since(time, now);
}

function labelsText(labels: unknown): string {
  const all = Object.entries(fieldsOf(labels) ?? {}).map(([key, value]) => `${key}=${String(value)}`);
  return all.length === 0 ? NONE : all.sort().join(",");
}

function joined(parts: readonly string[], most: number, empty: string): string {
  if (parts.length === 0) return empty;
  return parts.length <= most ? parts.join(",") : `${parts.slice(0, most).join(",")} + ${parts.length - most} more...`;
}

/** The first three, as formatEndpoints has it. */
function endpoints(object: unknown): string {
  const all = listAt(object, "subsets").flatMap((subset) => {
    const ports = listAt(subset, "ports");
    const ips = listAt(subset, "addresses").map((address) => textAt(address, "ip"));
    return ports.length === 0 ? ips : ports.flatMap((port) => ips.map((ip) => `${ip}:${textAt(port, "port")}`));
  });
  return joined(all, 3, NONE);
}

function jobStatus(job: unknown): string {
  const holds = (type: string): boolean =>
    listAt(job, "status", "conditions").some((one) => at(one, "type") === type && at(one, "status") === "True");
  if (holds("Complete")) return "Complete";
  if (holds("Failed")) return "Failed";
  if (at(job, "metadata", "deletionTimestamp") !== undefined) return "Terminating";
  if (holds("Suspended")) return "Suspended";
  if (holds("FailureTarget")) return "FailureTarget";
  return holds("SuccessCriteriaMet") ? "SuccessCriteriaMet" : "Running";
}

function jobCompletions(job: unknown): string {
  const done = numberAt(job, "status", "succeeded");
  const wanted = at(job, "spec", "completions");
  if (wanted !== undefined && wanted !== null) return `${done}/${String(wanted)}`;
  const parallelism = numberAt(job, "spec", "parallelism");
  return parallelism > 1 ? `${done}/1 of ${parallelism}` : `${done}/1`;
}

function jobDuration(job: unknown, now: number): string {
  const [start, end] = [at(job, "status", "startTime"), at(job, "status", "completionTime")];
  if (typeof start !== "string") return "";
  return duration((typeof end === "string" ? Date.parse(end) : now) - Date.parse(start));
}

function externalIp(service: unknown): string {
  const listed = listAt(service, "spec", "externalIPs").map(String);
  switch (at(service, "spec", "type")) {
    case "ExternalName":
      return textAt(service, "spec", "externalName");
    case "LoadBalancer": {
      const given = listAt(service, "status", "loadBalancer", "ingress").map((one) => textAt(one, "ip"));
      const all = [...given, ...listed];
      return all.length === 0 ? "<pending>" : all.join(",");
    }
    default:
      return listed.length === 0 ? NONE : listed.join(",");
  }
}

function servicePorts(service: unknown): string {
  const ports = listAt(service, "spec", "ports").map((port) => {
    const node = numberAt(port, "nodePort");
    return `${textAt(port, "port")}${node > 0 ? `:${node}` : ""}/${orEmpty(at(port, "protocol") ?? "TCP")}`;
  });
  return ports.length === 0 ? NONE : ports.join(",");
}

const SHORT_MODES: Readonly<Record<string, string>> = {
  ReadWriteOnce: "RWO",
  ReadOnlyMany: "ROX",
  ReadWriteMany: "RWX",
  ReadWriteOncePod: "RWOP",
};

function shortMode(mode: unknown): string {
  return SHORT_MODES[String(mode)] ?? String(mode);
}

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
