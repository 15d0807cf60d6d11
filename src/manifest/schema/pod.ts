/** The v1 Pod. */
import { z } from "zod";
import { container, ephemeralContainer, podResourceRequirements } from "./container.ts";
import {
  flag,
  ipAddress,
  maybeFlag,
  maybeLabel,
  maybeName,
  maybePositive,
  maybeQuantities,
  maybeText,
  maybeTexts,
  someText,
} from "./fields.ts";
import { localObjectReference, objectMeta } from "./meta.ts";
import { affinity, maybeNodeSelector, maybePriority, toleration, topologySpreadConstraint } from "./scheduling.ts";
import { podSecurityContext } from "./security.ts";
import { volume } from "./volume.ts";

const dnsConfig = z.strictObject({
  nameservers: z.array(ipAddress).optional(),
  options: z.array(z.strictObject({ name: someText, value: maybeText })).optional(),
  searches: maybeTexts,
});

export const podSpec = z.strictObject({
  activeDeadlineSeconds: maybePositive,
  affinity: affinity.optional(),
  automountServiceAccountToken: maybeFlag,
  containers: z.array(container).min(1),
  dnsConfig: dnsConfig.optional(),
  dnsPolicy: z.enum(["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]).default("ClusterFirst"),
  enableServiceLinks: flag.default(true),
  ephemeralContainers: z.array(ephemeralContainer).optional(),
  hostAliases: z.array(z.strictObject({ hostnames: maybeTexts, ip: ipAddress })).optional(),
  hostIPC: maybeFlag,
  hostNetwork: maybeFlag,
  hostPID: maybeFlag,
  hostUsers: maybeFlag,
  hostname: maybeLabel,
  hostnameOverride: maybeName,
  imagePullSecrets: z.array(localObjectReference).optional(),
  initContainers: z.array(container).optional(),
  nodeName: maybeText,
  nodeSelector: maybeNodeSelector,
  os: z.strictObject({ name: z.enum(["linux", "windows"]) }).optional(),
  overhead: maybeQuantities,
  preemptionPolicy: z.enum(["PreemptLowerPriority", "Never"]).optional(),
  priority: maybePriority,
  priorityClassName: maybeText,
  readinessGates: z.array(z.strictObject({ conditionType: someText })).optional(),
  resourceClaims: z
    .array(z.strictObject({ name: someText, resourceClaimName: maybeText, resourceClaimTemplateName: maybeText }))
    .optional(),
  resources: podResourceRequirements.optional(),
  restartPolicy: z.enum(["Always", "OnFailure", "Never"]).default("Always"),
  runtimeClassName: maybeName,
  schedulerName: maybeText,
  schedulingGates: z.array(z.strictObject({ name: someText })).optional(),
  schedulingGroup: z.strictObject({ podGroupName: maybeText }).optional(),
  securityContext: podSecurityContext.prefault({}),
  serviceAccount: maybeText,
  serviceAccountName: maybeText,
  setHostnameAsFQDN: maybeFlag,
  shareProcessNamespace: maybeFlag,
  subdomain: maybeLabel,
  terminationGracePeriodSeconds: z.int().min(0).max(2147483647).default(30),
  tolerations: z.array(toleration).optional(),
  topologySpreadConstraints: z.array(topologySpreadConstraint).optional(),
  volumes: z.array(volume).optional(),
});

/** `status` is what Gantry writes, so it is dropped before validation. */
export const pod = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Pod"),
  metadata: objectMeta,
  spec: podSpec,
});

export type Pod = z.output<typeof pod>;
export type PodSpec = z.output<typeof podSpec>;
export type PodDnsConfig = z.output<typeof dnsConfig>;
