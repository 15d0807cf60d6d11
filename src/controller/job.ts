/** Job: pods until enough have succeeded, or too many have failed (k8s.io/kubernetes/pkg/controller/job). Pure. */
import type { Job } from "../manifest/index.ts";
import { timestamp } from "../system/timestamp.ts";
import type { Condition, Controller, Deed, Live, Outcome, PodView, Scene } from "./contract.ts";
import { childName } from "./names.ts";
import { conditionsIn, earliest, isActive, podFrom, withCondition } from "./pods.ts";

export const INDEX_ANNOTATION = "batch.kubernetes.io/job-completion-index";
const BACKOFF_BASE_MS = 10_000;
const BACKOFF_MAX_MS = 600_000;

/** How each pod ended, by its name: it counts, also when somebody has taken the pod away. */
type Ends = Readonly<Record<string, { readonly succeeded: boolean; readonly index: string; readonly at: number }>>;

export const reconcileJob: Controller<Job> = (me, scene) => {
  const { spec } = me.object;
  const { now, pods } = scene;
  const finished = finishOf(me);
  const ends = endsOf(me, pods, now);
  if (finished !== undefined) return afterwards(me, scene, ends, finished);
  const startedAt = numeric(me.memory["startedAt"]);
  const active = pods.filter(isActive);
  const succeeded = Object.values(ends).filter((end) => end.succeeded);
  const failed = Object.values(ends).filter((end) => !end.succeeded);
  const indexes = new Set(succeeded.map(({ index }) => index));
  const counts = {
    active: active.length,
    succeeded: succeeded.length,
    failed: failed.length,
    ready: active.filter(({ ready }) => ready).length,
  };
  const done = spec.completionMode === "Indexed" ? indexes.size : succeeded.length;

  if (spec.suspend === true) {
    const status = { ...counts, conditions: [suspended(me, "True", now)] };
    return {
      deeds: [...active.map(drop), ...told(me, "Suspended", "Job suspended")],
      status,
      memory: { ...me.memory, ends, startedAt: undefined },
    };
  }
  const began = startedAt ?? now;
  const deadline = spec.activeDeadlineSeconds === undefined ? undefined : began + spec.activeDeadlineSeconds * 1000;
  const memory = { ...me.memory, ends, startedAt: began };
  const conditions = conditionsIn(me.status).some(({ type }) => type === "Suspended")
    ? [suspended(me, "False", now)]
    : [];
  const status = { startTime: timestamp(began), ...counts, ...indexesIn(spec.completionMode, indexes), conditions };
  const end = (type: "Complete" | "Failed", reason: string, message: string): Outcome => ({
    deeds: [
      ...active.map(drop),
      {
        type: "tell",
        level: type === "Complete" ? "Normal" : "Warning",
        reason: type === "Complete" ? "Completed" : reason,
        message,
      },
    ],
    status: {
      ...status,
      active: 0,
      ready: 0,
      ...(type === "Complete" && { completionTime: timestamp(now) }),
      conditions: [...conditions, withCondition(me.status, { type, status: "True", reason, message }, now)],
    },
    memory: { ...memory, finishedAt: now },
    ...(spec.ttlSecondsAfterFinished !== undefined && { lookAt: now + spec.ttlSecondsAfterFinished * 1000 }),
  });

  const restarts = active.reduce((sum, pod) => sum + pod.restarts, 0);
  const tooMany =
    failed.length > spec.backoffLimit ||
    (spec.template.spec.restartPolicy === "OnFailure" && restarts > 0 && failed.length + restarts > spec.backoffLimit);
  if (tooMany) return end("Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit");
  if (deadline !== undefined && now >= deadline)
    return end("Failed", "DeadlineExceeded", "Job was active longer than specified deadline");
  const parallelism = spec.parallelism ?? 1;
  // Without a number of completions, the first success says that the work is done; the others may finish.
  const complete =
    spec.completions === undefined ? succeeded.length > 0 && active.length === 0 : done >= spec.completions;
  if (complete) return end("Complete", "CompletionsReached", "Job completed");

  const open =
    spec.completions === undefined ? (succeeded.length > 0 ? active.length : parallelism) : spec.completions - done;
  const wanted = Math.max(0, Math.min(parallelism, open));
  const leaving = spec.podReplacementPolicy === "Failed" ? pods.filter(({ deleting }) => deleting).length : 0;
  const missing = wanted - active.length - leaving;
  const holdUntil = backoffUntil(failed.map(({ at }) => at));
  const deeds: Deed[] = active.slice(0, Math.max(0, -missing)).map(drop);
  const waits = missing > 0 && holdUntil > now;
  if (missing > 0 && !waits) {
    const free = freeIndexes(spec.completions ?? 0, new Set([...indexes, ...active.map(indexOf)]), missing);
    for (let nth = 0; nth < missing; nth++) {
      const index = spec.completionMode === "Indexed" ? free[nth] : undefined;
      if (spec.completionMode === "Indexed" && index === undefined) break;
      deeds.push({ type: "put", child: makePod(me, index, scene.suffix()) });
    }
  }
  return { deeds, status, memory, lookAt: earliest([deadline, waits ? holdUntil : undefined]) };
};

/** Counts every pod that has ended; one that was told to go does not count. */
function endsOf(me: Live<Job>, pods: readonly PodView[], now: number): Ends {
  const ends: Record<string, Ends[string]> = { ...knownEnds(me) };
  for (const view of pods) {
    const { name } = view.pod.metadata;
    if (ends[name] !== undefined || (view.phase !== "Succeeded" && view.phase !== "Failed")) continue;
    ends[name] = { succeeded: view.phase === "Succeeded", index: indexOf(view), at: view.endedAt ?? now };
  }
  return ends;
}

function knownEnds({ memory }: Live<Job>): Ends {
  const { ends } = memory;
  return isEnds(ends) ? ends : {};
}

function isEnds(value: unknown): value is Ends {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function numeric(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

function indexOf({ pod }: PodView): string {
  return pod.metadata.annotations?.[INDEX_ANNOTATION] ?? "";
}

/** "Complete" or "Failed" once it has ended for good. */
export function finishOf({ status }: Pick<Live<Job>, "status">): Condition | undefined {
  return conditionsIn(status).find(
    ({ type, status: is }) => (type === "Complete" || type === "Failed") && is === "True",
  );
}

/** Its pods stay to be looked at, until its time to live is over. */
function afterwards(me: Live<Job>, { pods, now }: Scene, ends: Ends, _finished: Condition): Outcome {
  const ttl = me.object.spec.ttlSecondsAfterFinished;
  const expiry = ttl === undefined ? undefined : (numeric(me.memory["finishedAt"]) ?? now) + ttl * 1000;
  const expired = expiry !== undefined && now >= expiry;
  return {
    deeds: expired ? pods.filter(({ deleting }) => !deleting).map(drop) : pods.filter(isActive).map(drop),
    status: me.status ?? {},
    memory: { ...me.memory, ends, expired },
    lookAt: expired ? undefined : expiry,
  };
}

/** Every failure doubles the wait for the next pod: 10 s, 20 s … 10 min. */
function backoffUntil(failedAt: readonly number[]): number {
  if (failedAt.length === 0) return 0;
  return Math.max(...failedAt) + Math.min(BACKOFF_MAX_MS, BACKOFF_BASE_MS * 2 ** Math.min(20, failedAt.length - 1));
}

function freeIndexes(completions: number, taken: ReadonlySet<string>, most: number): string[] {
  const free: string[] = [];
  for (let index = 0; index < completions && free.length < most; index++) {
    if (!taken.has(String(index))) free.push(String(index));
  }
  return free;
}

function makePod(me: Live<Job>, index: string | undefined, suffix: string) {
  const { metadata, spec } = me.object;
  const labels = {
    "batch.kubernetes.io/controller-uid": me.uid,
    "batch.kubernetes.io/job-name": metadata.name,
    "controller-uid": me.uid,
    "job-name": metadata.name,
    ...(index !== undefined && { [INDEX_ANNOTATION]: index }),
  };
  if (index === undefined) return podFrom(me, spec.template, childName(metadata.name, suffix), { labels });
  const annotations = { [INDEX_ANNOTATION]: index };
  const pod = podFrom(me, spec.template, childName(`${metadata.name}-${index}`, suffix), { labels, annotations });
  const variable = { name: "JOB_COMPLETION_INDEX", value: index };
  const withIndex = pod.spec.containers.map((container) => ({
    ...container,
    env: [...(container.env ?? []), variable],
  }));
  const hostname = `${metadata.name}-${index}`.slice(0, 63);
  return { ...pod, spec: { ...pod.spec, hostname: spec.template.spec.hostname ?? hostname, containers: withIndex } };
}

/** "0-2,5", as Kubernetes writes it. */
function indexesIn(mode: Job["spec"]["completionMode"], indexes: ReadonlySet<string>) {
  if (mode !== "Indexed") return {};
  const sorted = [...indexes].map(Number).sort((a, b) => a - b);
  const ranges: [number, number][] = [];
  for (const index of sorted) {
    const last = ranges.at(-1);
    if (last !== undefined && last[1] === index - 1) last[1] = index;
    else ranges.push([index, index]);
  }
  return { completedIndexes: ranges.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(",") };
}

function drop({ key }: PodView): Deed {
  return { type: "drop", kind: "Pod", key };
}

function suspended(me: Live<Job>, status: "True" | "False", now: number): Condition {
  const word = status === "True" ? "Suspended" : "Resumed";
  const next = { type: "Suspended", status, reason: `Job${word}`, message: `Job ${word.toLowerCase()}` } as const;
  return withCondition(me.status, next, now);
}

function told(me: Live<Job>, reason: string, message: string): Deed[] {
  const before = conditionsIn(me.status).some(({ type, status }) => type === "Suspended" && status === "True");
  return before ? [] : [{ type: "tell", level: "Normal", reason, message }];
}
