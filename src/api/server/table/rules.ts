/** Columns of who may do what, and of how much of something there is to be, as a cluster has them. Pure. */
import { at } from "../../patch/plain.ts";
import { ageColumn, type Column, type Columns, count, listAt, NONE, nameColumn, orEmpty, textAt } from "./column.ts";

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

export const RULES_COLUMNS = {
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
} satisfies Columns;

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
