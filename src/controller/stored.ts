/** Objects of controllers as text for the state store. What comes out is checked, and gets the defaults of today. */
import { z } from "zod";
import {
  cronJob,
  daemonSet,
  deployment,
  job,
  pod,
  podTemplate,
  replicaSet,
  service,
  statefulSet,
} from "../manifest/schema/index.ts";
import type { Claim, ControllerRevision, Live } from "./contract.ts";
import type { Kept } from "./entries.ts";

const meta = z.looseObject({ name: z.string(), namespace: z.string() });

const revision = z
  .object({
    apiVersion: z.literal("apps/v1"),
    kind: z.literal("ControllerRevision"),
    metadata: meta,
    revision: z.number(),
    data: z.object({ template: podTemplate }),
  })
  .transform((value): ControllerRevision => value as ControllerRevision);

const claim = z
  .object({ apiVersion: z.literal("v1"), kind: z.literal("PersistentVolumeClaim"), metadata: meta, spec: z.unknown() })
  .transform((value): Claim => value as Claim);

const stored = z.object({
  object: z.union([deployment, replicaSet, daemonSet, statefulSet, job, cronJob, service, pod, revision, claim]),
  uid: z.string(),
  createdAt: z.number(),
  generation: z.number(),
  status: z.record(z.string(), z.unknown()).optional(),
  memory: z.record(z.string(), z.unknown()),
});

export function storedText({ object, uid, createdAt, generation, status, memory }: Live<Kept>): string {
  return JSON.stringify({ object, uid, createdAt, generation, status, memory });
}

/** @throws ZodError or SyntaxError when the text is not one that `storedText` made */
export function parseStored(text: string): Live<Kept> {
  const { status, ...rest } = stored.parse(JSON.parse(text));
  return { ...rest, status };
}
