/** The objects of batch/v1: pods that end. */
import { z } from "zod";
import { count, maybeCount, maybeFlag, maybePositive, maybeText, someText } from "./fields.ts";
import { maybeLabelSelector, objectMeta, templateMeta } from "./meta.ts";
import { podTemplate } from "./workload.ts";

const exitCodes = z.strictObject({
  containerName: maybeText,
  operator: z.enum(["In", "NotIn"]),
  values: z.array(z.int()),
});

/** Read, so that it can be refused by name. */
const podFailurePolicy = z.strictObject({
  rules: z.array(
    z.strictObject({
      action: z.enum(["FailJob", "FailIndex", "Ignore", "Count"]),
      onExitCodes: exitCodes.optional(),
      onPodConditions: z.array(z.strictObject({ status: maybeText, type: someText })).optional(),
    }),
  ),
});

const jobSpec = z.strictObject({
  activeDeadlineSeconds: maybePositive,
  backoffLimit: count.default(6),
  backoffLimitPerIndex: maybeCount,
  completionMode: z.enum(["NonIndexed", "Indexed"]).default("NonIndexed"),
  completions: maybeCount,
  managedBy: maybeText,
  manualSelector: maybeFlag,
  maxFailedIndexes: maybeCount,
  parallelism: maybeCount,
  podFailurePolicy: podFailurePolicy.optional(),
  podReplacementPolicy: z.enum(["TerminatingOrFailed", "Failed"]).default("TerminatingOrFailed"),
  selector: maybeLabelSelector,
  successPolicy: z
    .strictObject({
      rules: z.array(z.strictObject({ succeededCount: maybeCount, succeededIndexes: maybeText })),
    })
    .optional(),
  suspend: maybeFlag,
  template: podTemplate,
  ttlSecondsAfterFinished: maybeCount,
});

export const job = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("Job"),
  metadata: objectMeta,
  spec: jobSpec,
});

export const cronJob = z.strictObject({
  apiVersion: z.literal("batch/v1"),
  kind: z.literal("CronJob"),
  metadata: objectMeta,
  spec: z.strictObject({
    concurrencyPolicy: z.enum(["Allow", "Forbid", "Replace"]).default("Allow"),
    failedJobsHistoryLimit: count.default(1),
    jobTemplate: z.strictObject({ metadata: templateMeta.prefault({}), spec: jobSpec }),
    schedule: someText,
    startingDeadlineSeconds: maybeCount,
    successfulJobsHistoryLimit: count.default(3),
    suspend: maybeFlag,
    timeZone: maybeText,
  }),
});

export type Job = z.output<typeof job>;
export type JobSpec = z.output<typeof jobSpec>;
export type CronJob = z.output<typeof cronJob>;
