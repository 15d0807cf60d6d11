/** Checks of objects that keep pods (k8s.io/kubernetes/pkg/apis/apps/validation and batch/validation). */
import type { Workload } from "../contract.ts";
import { isTimeZone, parseSchedule } from "../cron.ts";
import type { FieldPath } from "../issue.ts";
import { dnsLabelComplaint } from "../schema/fields.ts";
import type { CronJob, Deployment, JobSpec, LabelSelector, PodTemplate, StatefulSet } from "../schema/index.ts";
import { isEmptySelector, selects } from "../selector.ts";
import { validateClaimSpec, validateReclaimPolicy } from "./claim.ts";
import type { Report } from "./index.ts";

export function validateWorkload(object: Workload, report: Report): void {
  switch (object.kind) {
    case "Deployment":
      validateStrategy(object, report);
      validateKeeper(object.spec, report);
      break;
    case "ReplicaSet":
      validateKeeper(object.spec, report);
      break;
    case "DaemonSet": {
      const { maxSurge, maxUnavailable } = object.spec.updateStrategy.rollingUpdate ?? {
        maxSurge: 0,
        maxUnavailable: 1,
      };
      const at = ["spec", "updateStrategy", "rollingUpdate"];
      if (isZero(maxSurge) && isZero(maxUnavailable))
        report([...at, "maxUnavailable"], "can't be 0 when maxSurge is 0", "one of them must leave room for a change");
      if (!isZero(maxSurge) && !isZero(maxUnavailable))
        report([...at, "maxSurge"], "can't be together with maxUnavailable", "set one of them to 0");
      validateKeeper(object.spec, report);
      break;
    }
    case "StatefulSet":
      validateStatefulSet(object, report);
      break;
    case "Job":
      validateJob(object.spec, ["spec"], report);
      break;
    case "CronJob":
      validateCronJob(object, report);
      break;
  }
}

interface Keeper {
  readonly selector: LabelSelector;
  readonly template: PodTemplate;
}

/** Whoever keeps pods going finds them by their labels, and never lets one end. */
function validateKeeper({ selector, template }: Keeper, report: Report): void {
  if (isEmptySelector(selector)) {
    report(["spec", "selector"], "must not be empty", "write matchLabels with the labels of the template");
  } else if (!selects(selector, template.metadata.labels)) {
    report(
      ["spec", "selector"],
      "does not match the labels of the template",
      "give spec.template.metadata.labels what the selector asks for",
    );
  }
  for (const [index, { operator, values = [] }] of (selector.matchExpressions ?? []).entries()) {
    const at: FieldPath = ["spec", "selector", "matchExpressions", index, "values"];
    const wantsValues = operator === "In" || operator === "NotIn";
    if (wantsValues && values.length === 0) report(at, `${operator} needs at least one value`);
    if (!wantsValues && values.length > 0) report(at, `${operator} takes no values`, "remove them");
  }
  const base = ["spec", "template", "spec"];
  if (template.spec.restartPolicy !== "Always")
    report(
      [...base, "restartPolicy"],
      `must be Always, not ${template.spec.restartPolicy}`,
      "for pods that end write a Job",
    );
  if (template.spec.activeDeadlineSeconds !== undefined)
    report([...base, "activeDeadlineSeconds"], "can't be set here: these pods are not to end", "remove it");
}

function validateStrategy({ spec }: Deployment, report: Report): void {
  const { type, rollingUpdate } = spec.strategy;
  const at = ["spec", "strategy", "rollingUpdate"];
  if (type === "Recreate" && rollingUpdate !== undefined) report(at, "goes only with type RollingUpdate", "remove it");
  if (rollingUpdate !== undefined) {
    const { maxSurge, maxUnavailable } = rollingUpdate;
    if (isZero(maxSurge) && isZero(maxUnavailable))
      report([...at, "maxUnavailable"], "can't be 0 when maxSurge is 0", "one of them must leave room for a change");
    if (typeof maxUnavailable === "string" && Number.parseInt(maxUnavailable, 10) > 100)
      report([...at, "maxUnavailable"], `${maxUnavailable} is more than all pods`, "at most 100%");
  }
  if (spec.progressDeadlineSeconds <= spec.minReadySeconds)
    report(
      ["spec", "progressDeadlineSeconds"],
      `${spec.progressDeadlineSeconds} must be more than minReadySeconds (${spec.minReadySeconds})`,
    );
}

function isZero(value: number | string): boolean {
  return value === 0 || (typeof value === "string" && Number.parseInt(value, 10) === 0);
}

function validateStatefulSet({ metadata, spec }: StatefulSet, report: Report): void {
  validateKeeper(spec, report);
  const wrong = dnsLabelComplaint(`${metadata.name}-0`);
  if (wrong !== undefined)
    report(["metadata", "name"], `"${metadata.name}" can't name pods: "${metadata.name}-0" ${wrong}`);
  for (const [index, { metadata: claim, spec: claimed }] of (spec.volumeClaimTemplates ?? []).entries()) {
    const base: FieldPath = ["spec", "volumeClaimTemplates", index];
    validateReclaimPolicy(claim.annotations, [...base, "metadata"], report);
    validateClaimSpec(claimed, [...base, "spec"], report);
    const at: FieldPath = [...base, "metadata", "name"];
    if (claim.name === undefined) report(at, "is required", "the name of the volume that containers mount");
    else {
      const complaint = dnsLabelComplaint(claim.name);
      if (complaint !== undefined) report(at, `"${claim.name}" ${complaint}`);
    }
  }
  if (spec.updateStrategy.type === "OnDelete" && spec.updateStrategy.rollingUpdate !== undefined)
    report(["spec", "updateStrategy", "rollingUpdate"], "goes only with type RollingUpdate", "remove it");
}

function validateJob(spec: JobSpec, path: FieldPath, report: Report): void {
  const at = [...path, "template", "spec", "restartPolicy"];
  if (spec.template.spec.restartPolicy === "Always")
    report(at, "must be OnFailure or Never: a Job's pods are to end", "write restartPolicy: Never");
  if (spec.completionMode === "Indexed" && spec.completions === undefined)
    report([...path, "completions"], "is required with completionMode Indexed", "say how many indexes there are");
  if (spec.completionMode === "Indexed" && (spec.parallelism ?? 1) > 100_000)
    report([...path, "parallelism"], "can't be more than 100000 with completionMode Indexed");
}

/** Jobs are named after their CronJob and the minute: 11 more characters, within the 63 of a label. */
const LONGEST_CRON_NAME = 52;

function validateCronJob({ metadata, spec }: CronJob, report: Report): void {
  if (metadata.name.length > LONGEST_CRON_NAME)
    report(["metadata", "name"], `must be at most ${LONGEST_CRON_NAME} characters long: its jobs get longer names`);
  const { schedule, timeZone } = spec;
  const known = timeZone === undefined || isTimeZone(timeZone);
  if (!known)
    report(["spec", "timeZone"], `${JSON.stringify(timeZone)} is no time zone`, "e.g. Etc/UTC or Europe/Berlin");
  try {
    const parsed = parseSchedule(schedule, known ? timeZone : undefined);
    if (parsed.next(Date.UTC(2024, 0, 1)) === undefined)
      report(["spec", "schedule"], `${JSON.stringify(schedule)} never comes`, "check day and month");
  } catch (error) {
    report(
      ["spec", "schedule"],
      `${JSON.stringify(schedule)} ${error instanceof Error ? error.message : String(error)}`,
    );
  }
  validateJob(spec.jobTemplate.spec, ["spec", "jobTemplate", "spec"], report);
}
