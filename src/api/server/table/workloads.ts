/** Columns of Deployments, Jobs and their like, as a cluster has them. Pure. */
import { at } from "../../patch/plain.ts";
import {
  ageColumn,
  type Column,
  type Columns,
  count,
  duration,
  labelsText,
  listAt,
  NONE,
  nameColumn,
  numberAt,
  podColumns,
  selector,
  selectorText,
  sinceOrNone,
  template,
  text,
  textAt,
} from "./column.ts";

const readyOfWanted: Column = {
  name: "Ready",
  cell: (object) => `${numberAt(object, "status", "readyReplicas")}/${numberAt(object, "spec", "replicas")}`,
};

export const WORKLOADS_COLUMNS = {
  Deployment: [
    nameColumn,
    readyOfWanted,
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
  StatefulSet: [nameColumn, readyOfWanted, ageColumn, ...template],
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
} satisfies Columns;

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
