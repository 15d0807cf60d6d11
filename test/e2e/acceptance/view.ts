import { z } from "zod";

const Terminated = z.object({
  exitCode: z.number(),
  reason: z.string().optional(),
  message: z.string().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
});

const ContainerStatus = z.object({
  name: z.string(),
  ready: z.boolean(),
  started: z.boolean().optional(),
  restartCount: z.number(),
  containerID: z.string().optional(),
  state: z.object({
    running: z.object({ startedAt: z.string() }).optional(),
    terminated: Terminated.optional(),
    waiting: z.object({ reason: z.string().optional(), message: z.string().optional() }).optional(),
  }),
  lastState: z.object({ terminated: Terminated.optional() }).optional(),
});

export const Pod = z.object({
  metadata: z.looseObject({ name: z.string(), namespace: z.string(), uid: z.string() }),
  spec: z.looseObject({}),
  status: z.looseObject({
    phase: z.string().optional(),
    conditions: z.array(z.looseObject({ type: z.string(), status: z.string() })).default([]),
    containerStatuses: z.array(ContainerStatus).default([]),
    initContainerStatuses: z.array(ContainerStatus).default([]),
  }),
});
export type Pod = z.infer<typeof Pod>;

/** How cases see a container: restarts, ready, started, id, state with its details, and `last`, how the run before ended. */
export interface ContainerView {
  readonly id: string;
  readonly ready: boolean;
  readonly started?: boolean | undefined;
  readonly restarts: number;
  readonly state: "running" | "waiting" | "terminated";
  readonly reason?: string | undefined;
  readonly message?: string | undefined;
  readonly exitCode?: number | undefined;
  readonly last?: z.infer<typeof Terminated> | undefined;
}

/** How cases see a pod: status flattened, conditions and containers by their names; `ready` is the condition Ready. */
export interface PodView {
  readonly [field: string]: unknown;
  readonly uid: string;
  readonly containers: Readonly<Record<string, ContainerView>>;
}

export function viewOf({ metadata, spec, status }: Pod): PodView {
  const { conditions, containerStatuses, initContainerStatuses, ...rest } = status;
  const states = Object.fromEntries(conditions.map(({ type, status }) => [type, status]));
  return {
    ...rest,
    metadata,
    spec,
    uid: metadata.uid,
    conditions: states,
    ready: states["Ready"] === "True",
    containers: Object.fromEntries(
      [...initContainerStatuses, ...containerStatuses].map((one) => [one.name, containerView(one)]),
    ),
  };
}

function containerView({ state, ...one }: z.infer<typeof ContainerStatus>): ContainerView {
  const { running, terminated, waiting } = state;
  return {
    id: one.containerID ?? "",
    ready: one.ready,
    started: one.started,
    restarts: one.restartCount,
    state: terminated !== undefined ? "terminated" : running !== undefined ? "running" : "waiting",
    ...(terminated ?? waiting),
    last: one.lastState?.terminated,
  };
}
