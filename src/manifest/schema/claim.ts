/** The v1 PersistentVolumeClaim. */
import { z } from "zod";
import { objectMeta } from "./meta.ts";
import { claimSpec } from "./volume-foreign.ts";

export const persistentVolumeClaim = z.strictObject({
  apiVersion: z.literal("v1"),
  kind: z.literal("PersistentVolumeClaim"),
  metadata: objectMeta,
  spec: claimSpec,
});

export type PersistentVolumeClaim = z.output<typeof persistentVolumeClaim>;
export type ClaimSpec = z.output<typeof claimSpec>;
