/** CronJob: a Job each time that its schedule comes (k8s.io/kubernetes/pkg/controller/cronjob). Pure. */

import { parseSchedule } from "../manifest/cron.ts";
import type { CronJob, Job } from "../manifest/index.ts";
import { timestamp } from "../system/timestamp.ts";
import type { Controller, Deed, Live } from "./contract.ts";
import { finishOf } from "./job.ts";
import { ownerReference } from "./names.ts";

export const SCHEDULED_ANNOTATION = "batch.kubernetes.io/cronjob-scheduled-timestamp";

export const reconcileCronJob: Controller<CronJob> = (me, { jobs, now }) => {
  const { spec } = me.object;
  const schedule = parseSchedule(spec.schedule, spec.timeZone);
  const active = jobs.filter((job) => finishOf(job) === undefined);
  const deeds: Deed[] = [
    ...surplus(jobs, "Complete", spec.successfulJobsHistoryLimit),
    ...surplus(jobs, "Failed", spec.failedJobsHistoryLimit),
  ];
  const lastAt = timeIn(me.memory["lastScheduleAt"]);
  const succeededAt = Math.max(0, ...jobs.filter((job) => finishOf(job)?.type === "Complete").map(finishedAt));
  const statusWith = (
    last: number | undefined,
    running: readonly { readonly name: string; readonly namespace: string; readonly uid?: string }[],
  ) => ({
    ...(running.length > 0 && { active: running.map((job) => ({ apiVersion: "batch/v1", kind: "Job", ...job })) }),
    ...(last !== undefined && { lastScheduleTime: timestamp(last) }),
    ...(succeededAt > 0 && { lastSuccessfulTime: timestamp(succeededAt) }),
  });
  const running = active.map(({ object: { metadata }, uid }) => ({
    name: metadata.name,
    namespace: metadata.namespace,
    uid,
  }));
  if (spec.suspend === true) return { deeds, status: statusWith(lastAt, running), memory: me.memory };
  const window = spec.startingDeadlineSeconds === undefined ? 0 : now - spec.startingDeadlineSeconds * 1000;
  const since = Math.max(lastAt ?? me.createdAt, window);
  const due = schedule.latest(since, now);
  const lookAt = schedule.next(now);
  const waiting = { deeds, status: statusWith(lastAt, running), memory: me.memory, lookAt };
  if (due === undefined) return waiting;
  if (active.length > 0 && spec.concurrencyPolicy === "Forbid") return waiting;
  const child = jobAt(me, due);
  const memory = { ...me.memory, lastScheduleAt: due };
  if (jobs.some(({ object }) => object.metadata.name === child.metadata.name)) return { ...waiting, memory };
  const replaced = spec.concurrencyPolicy === "Replace" ? active : [];
  const tell: Deed = {
    type: "tell",
    level: "Normal",
    reason: "SuccessfulCreate",
    message: `Created job ${child.metadata.name}`,
  };
  const { name, namespace } = child.metadata;
  return {
    deeds: [...deeds, ...replaced.map(dropJob), { type: "put", child }, tell],
    status: statusWith(due, [...(replaced.length > 0 ? [] : running), { name, namespace }]),
    memory,
    lookAt,
  };
};

function timeIn(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function finishedAt({ memory }: Live<Job>): number {
  return timeIn(memory["finishedAt"]) ?? 0;
}

/** Named after the minute that it is for, so that no time is ever served twice. */
function jobAt(me: Live<CronJob>, at: number): Job {
  const { metadata, spec } = me.object;
  const { metadata: template, spec: jobSpec } = spec.jobTemplate;
  return {
    apiVersion: "batch/v1",
    kind: "Job",
    metadata: {
      name: `${metadata.name}-${Math.floor(at / 60_000)}`,
      namespace: metadata.namespace,
      ...(template.labels !== undefined && { labels: template.labels }),
      annotations: { ...template.annotations, [SCHEDULED_ANNOTATION]: timestamp(at) },
      ownerReferences: [ownerReference(me)],
    },
    spec: jobSpec,
  };
}

function surplus(jobs: readonly Live<Job>[], type: "Complete" | "Failed", keep: number): Deed[] {
  const ended = jobs.filter((job) => finishOf(job)?.type === type).sort((a, b) => b.createdAt - a.createdAt);
  return ended.slice(keep).map(dropJob);
}

function dropJob({ object: { metadata } }: Live<Job>): Deed {
  return { type: "drop", kind: "Job", key: `${metadata.namespace}/${metadata.name}` };
}
