/** Fields about which node a pod goes to. There is one node, so they are read, checked and warned about. */
import { z } from "zod";
import {
  int32,
  maybeInt,
  maybeLabels,
  maybePositive,
  maybeText,
  maybeTexts,
  positive,
  qualifiedName,
  someText,
} from "./fields.ts";
import { maybeLabelSelector } from "./meta.ts";

const nodeSelectorRequirements = z
  .array(
    z.strictObject({
      key: someText,
      operator: z.enum(["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]),
      values: maybeTexts,
    }),
  )
  .optional();
const nodeSelectorTerm = z.strictObject({
  matchExpressions: nodeSelectorRequirements,
  matchFields: nodeSelectorRequirements,
});
const weight = z.int().min(1).max(100);

const podAffinityTerm = z.strictObject({
  labelSelector: maybeLabelSelector,
  matchLabelKeys: maybeTexts,
  mismatchLabelKeys: maybeTexts,
  namespaceSelector: maybeLabelSelector,
  namespaces: maybeTexts,
  topologyKey: qualifiedName,
});

const podAffinity = z
  .strictObject({
    preferredDuringSchedulingIgnoredDuringExecution: z.array(z.strictObject({ podAffinityTerm, weight })).optional(),
    requiredDuringSchedulingIgnoredDuringExecution: z.array(podAffinityTerm).optional(),
  })
  .optional();

export const affinity = z.strictObject({
  nodeAffinity: z
    .strictObject({
      preferredDuringSchedulingIgnoredDuringExecution: z
        .array(z.strictObject({ preference: nodeSelectorTerm, weight }))
        .optional(),
      requiredDuringSchedulingIgnoredDuringExecution: z
        .strictObject({ nodeSelectorTerms: z.array(nodeSelectorTerm) })
        .optional(),
    })
    .optional(),
  podAffinity,
  podAntiAffinity: podAffinity,
});

export const toleration = z.strictObject({
  effect: z.enum(["", "NoSchedule", "PreferNoSchedule", "NoExecute"]).optional(),
  key: maybeText,
  operator: z.enum(["", "Exists", "Equal", "Lt", "Gt"]).optional(),
  tolerationSeconds: maybeInt,
  value: maybeText,
});

const inclusion = z.enum(["Honor", "Ignore"]).optional();

export const topologySpreadConstraint = z.strictObject({
  labelSelector: maybeLabelSelector,
  matchLabelKeys: maybeTexts,
  maxSkew: positive,
  minDomains: maybePositive,
  nodeAffinityPolicy: inclusion,
  nodeTaintsPolicy: inclusion,
  topologyKey: someText,
  whenUnsatisfiable: z.enum(["DoNotSchedule", "ScheduleAnyway"]),
});

export const maybeNodeSelector = maybeLabels;
export const maybePriority = int32.optional();
