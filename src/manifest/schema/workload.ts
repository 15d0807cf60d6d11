/** The objects of apps/v1: each keeps pods made from a template, in a manner of its own. */
import { z } from "zod";
import { count, maybeCount, maybeFlag, maybeName } from "./fields.ts";
import { labelSelector, objectMeta, templateMeta } from "./meta.ts";
import { podSpec } from "./pod.ts";
import { claimSpec } from "./volume-foreign.ts";

export const podTemplate = z.strictObject({ metadata: templateMeta.prefault({}), spec: podSpec });

/** A number of pods, or a share of all of them such as "25%". */
const countOrPercent = z.unknown().transform((value, ctx): number | string => {
  if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 2147483647) return value;
  if (typeof value === "string" && /^\d{1,9}%$/.test(value)) return value;
  const message = 'must be a number of pods, or a percentage such as "25%"';
  ctx.issues.push({ code: "custom", input: value, message });
  return z.NEVER;
});

const replicas = count.default(1);
const minReadySeconds = count.default(0);
const revisionHistoryLimit = count.default(10);

const rollingUpdate = z.strictObject({
  maxSurge: countOrPercent.default("25%"),
  maxUnavailable: countOrPercent.default("25%"),
});

const deploymentSpec = z.strictObject({
  minReadySeconds,
  paused: maybeFlag,
  progressDeadlineSeconds: count.default(600),
  replicas,
  revisionHistoryLimit,
  selector: labelSelector,
  strategy: z
    .strictObject({
      rollingUpdate: rollingUpdate.optional(),
      type: z.enum(["RollingUpdate", "Recreate"]).default("RollingUpdate"),
    })
    .prefault({}),
  template: podTemplate,
});

export const deployment = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("Deployment"),
  metadata: objectMeta,
  spec: deploymentSpec,
});

export const replicaSet = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("ReplicaSet"),
  metadata: objectMeta,
  spec: z.strictObject({ minReadySeconds, replicas, selector: labelSelector, template: podTemplate }),
});

export const daemonSet = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("DaemonSet"),
  metadata: objectMeta,
  spec: z.strictObject({
    minReadySeconds,
    revisionHistoryLimit,
    selector: labelSelector,
    template: podTemplate,
    updateStrategy: z
      .strictObject({
        rollingUpdate: z
          .strictObject({ maxSurge: countOrPercent.default(0), maxUnavailable: countOrPercent.default(1) })
          .optional(),
        type: z.enum(["RollingUpdate", "OnDelete"]).default("RollingUpdate"),
      })
      .prefault({}),
  }),
});

const claimTemplate = z.strictObject({
  apiVersion: z.literal("v1").optional(),
  kind: z.literal("PersistentVolumeClaim").optional(),
  metadata: templateMeta,
  spec: claimSpec,
  /** In what `kubectl get -o yaml` prints. */
  status: z.unknown().optional(),
});

const retention = z.enum(["Retain", "Delete"]).default("Retain");

export const statefulSet = z.strictObject({
  apiVersion: z.literal("apps/v1"),
  kind: z.literal("StatefulSet"),
  metadata: objectMeta,
  spec: z.strictObject({
    minReadySeconds,
    ordinals: z.strictObject({ start: maybeCount }).optional(),
    persistentVolumeClaimRetentionPolicy: z.strictObject({ whenDeleted: retention, whenScaled: retention }).optional(),
    podManagementPolicy: z.enum(["OrderedReady", "Parallel"]).default("OrderedReady"),
    replicas,
    revisionHistoryLimit,
    selector: labelSelector,
    serviceName: maybeName,
    template: podTemplate,
    updateStrategy: z
      .strictObject({
        rollingUpdate: z
          .strictObject({ maxUnavailable: countOrPercent.optional(), partition: count.default(0) })
          .optional(),
        type: z.enum(["RollingUpdate", "OnDelete"]).default("RollingUpdate"),
      })
      .prefault({}),
    volumeClaimTemplates: z.array(claimTemplate).optional(),
  }),
});

export type PodTemplate = z.output<typeof podTemplate>;
export type Deployment = z.output<typeof deployment>;
export type ReplicaSet = z.output<typeof replicaSet>;
export type DaemonSet = z.output<typeof daemonSet>;
export type StatefulSet = z.output<typeof statefulSet>;
export type ClaimTemplate = z.output<typeof claimTemplate>;
