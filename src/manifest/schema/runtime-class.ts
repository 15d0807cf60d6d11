/** RuntimeClass: which sandbox a pod gets. */
import { z } from "zod";
import { dnsLabel, maybeQuantities } from "./fields.ts";
import { clusterMeta } from "./meta.ts";
import { maybeNodeSelector, toleration } from "./scheduling.ts";

export const runtimeClass = z.strictObject({
  apiVersion: z.literal("node.k8s.io/v1"),
  handler: dnsLabel,
  kind: z.literal("RuntimeClass"),
  metadata: clusterMeta,
  overhead: z.strictObject({ podFixed: maybeQuantities }).optional(),
  scheduling: z
    .strictObject({ nodeSelector: maybeNodeSelector, tolerations: z.array(toleration).optional() })
    .optional(),
});

export type RuntimeClass = z.output<typeof runtimeClass>;
