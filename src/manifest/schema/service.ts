/** The v1 Service: a name for the ready pods that a selector finds. */
import { z } from "zod";
import {
  count,
  intOrString,
  ipAddress,
  maybeFlag,
  maybeInt,
  maybeLabel,
  maybeLabels,
  maybeName,
  maybeText,
  maybeTexts,
  port,
} from "./fields.ts";
import { objectMeta } from "./meta.ts";

const servicePort = z.strictObject({
  appProtocol: maybeText,
  name: maybeLabel,
  nodePort: count.optional(),
  port,
  protocol: z.enum(["TCP", "UDP", "SCTP"]).default("TCP"),
  targetPort: intOrString.optional(),
});

const policy = z.enum(["Cluster", "Local"]).optional();

export const service = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("Service"),
  metadata: objectMeta,
  spec: z.strictObject({
    allocateLoadBalancerNodePorts: maybeFlag,
    clusterIP: maybeText,
    clusterIPs: maybeTexts,
    externalIPs: z.array(ipAddress).optional(),
    externalName: maybeName,
    externalTrafficPolicy: policy,
    healthCheckNodePort: maybeInt,
    internalTrafficPolicy: policy,
    ipFamilies: z.array(z.enum(["IPv4", "IPv6"])).optional(),
    ipFamilyPolicy: z.enum(["SingleStack", "PreferDualStack", "RequireDualStack"]).optional(),
    loadBalancerClass: maybeText,
    loadBalancerIP: maybeText,
    loadBalancerSourceRanges: maybeTexts,
    ports: z.array(servicePort).optional(),
    publishNotReadyAddresses: maybeFlag,
    selector: maybeLabels,
    sessionAffinity: z.enum(["None", "ClientIP"]).optional(),
    sessionAffinityConfig: z
      .strictObject({ clientIP: z.strictObject({ timeoutSeconds: maybeInt }).optional() })
      .optional(),
    trafficDistribution: maybeText,
    type: z.enum(["ClusterIP", "NodePort", "LoadBalancer", "ExternalName"]).default("ClusterIP"),
  }),
});

export type Service = z.output<typeof service>;
export type ServicePort = z.output<typeof servicePort>;
