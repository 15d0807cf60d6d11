import { z } from "zod";

const Running = z.object({ startedAt: z.string() });
const Terminated = z.object({
  exitCode: z.number(),
  reason: z.string().optional(),
  message: z.string().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
});
const Waiting = z.object({ reason: z.string().optional(), message: z.string().optional() });

const ContainerStatus = z.object({
  name: z.string(),
  ready: z.boolean(),
  restartCount: z.number(),
  containerID: z.string().optional(),
  imageID: z.string().optional(),
  state: z.object({
    running: Running.optional(),
    terminated: Terminated.optional(),
    waiting: Waiting.optional(),
  }),
  lastState: z.object({ terminated: Terminated.optional() }).optional(),
});

/** The parts of a v1 Pod, as the daemon serves it, that tests look at. */
export const PodView = z.object({
  metadata: z.object({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    generation: z.number().optional(),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z.object({ terminationGracePeriodSeconds: z.number().optional() }).loose(),
  status: z.object({
    observedGeneration: z.number().optional(),
    phase: z.string(),
    reason: z.string().optional(),
    message: z.string().optional(),
    podIP: z.string().optional(),
    hostIP: z.string().optional(),
    conditions: z
      .array(
        z.object({
          type: z.string(),
          status: z.string(),
          reason: z.string().optional(),
          message: z.string().optional(),
        }),
      )
      .default([]),
    containerStatuses: z.array(ContainerStatus).default([]),
    initContainerStatuses: z.array(ContainerStatus).default([]),
  }),
});
export type PodView = z.infer<typeof PodView>;

/** Reads a v1 PodList. */
export function parsePodList(json: string): PodView[] {
  return z.object({ items: z.array(PodView) }).parse(JSON.parse(json)).items;
}

/** Of what is wanted now, as `gantry wait` takes it. */
export function isReady(pod: PodView): boolean {
  if ((pod.status.observedGeneration ?? 0) < (pod.metadata.generation ?? 0)) return false;
  return pod.status.conditions.some(({ type, status }) => type === "Ready" && status === "True");
}
