/** The vocabulary of the pod machine: its events, actors, guards and actions. */
import { assign, enqueueActions, fromCallback, fromPromise, setup } from "xstate";
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import type { Finding } from "../rules/checks.ts";
import { isEvicted, type PodContext, type Route, routeOf, wakeAt } from "./context.ts";
import { begun, jobsWhenCompleted, jobsWhileRunning, jobsWhileStopping, liveContainers } from "./decide.ts";
import type { CheckTarget, Job, JobFailure, JobResult, PodEnv, PodView } from "./env.ts";
import { checkTargets } from "./targets.ts";
import * as update from "./updates.ts";

export type PodEvent =
  | { readonly type: "desired"; readonly desired: DesiredPod }
  | { readonly type: "observed"; readonly sandboxes: readonly ObservedSandbox[] }
  | { readonly type: "remove"; readonly graceMs: number | undefined }
  | { readonly type: "restart"; readonly container: string | undefined }
  | { readonly type: "config" }
  | { readonly type: "evict"; readonly message: string }
  | { readonly type: "pulling"; readonly container: string; readonly text: string | undefined }
  | { readonly type: "tick" }
  /** Something changed: act on what is known now. Every state that acts has its own answer. */
  | { readonly type: "evaluate" }
  | { readonly type: "checked"; readonly finding: Finding }
  | { readonly type: "job.facts"; readonly id: string; readonly facts: ContainerFacts }
  | { readonly type: "job.done"; readonly id: string; readonly job: Job; readonly result: JobResult }
  | { readonly type: "job.failed"; readonly id: string; readonly job: Job; readonly failure: JobFailure };

/** What a state itself works at. */
export type Task = "prepare" | "runSandbox" | "settle" | "stopSandboxes" | "removeSandboxes" | "teardown";

/** What is known afterwards; undefined when the work changed nothing of it. */
export type WorkResult = Partial<Pick<PodContext, "known" | "facts">> | undefined;

/** Timers can't wait longer than 2^31 ms; the machine looks again well before. */
const LONGEST_WAIT_MS = 3_600_000;

function viewOf({ desired, pod, facts, known }: PodContext): PodView {
  return { desired, pod, facts, known };
}

const work = fromPromise<WorkResult, { readonly task: Task; readonly context: PodContext }>(
  async ({ input, signal }) => {
    const view = viewOf(input.context);
    const { env } = input.context;
    switch (input.task) {
      case "prepare":
        await env.prepare(view, signal);
        return undefined;
      case "runSandbox":
        return env.runSandbox(view, signal).then(({ sandbox, facts }) => ({ known: [sandbox], facts }));
      case "settle":
        return { known: await env.settle(view, signal) };
      case "stopSandboxes":
        return { known: await env.stopSandboxes(view, signal) };
      case "removeSandboxes":
        await env.removeSandboxes(view, signal);
        return { known: [] };
      case "teardown":
        await env.teardown(view, signal);
        return { known: [] };
    }
  },
);

interface JobInput {
  readonly id: string;
  readonly job: Job;
  readonly context: PodContext;
}

const job = fromCallback<PodEvent, JobInput>(({ input: { id, job, context }, sendBack }) => {
  const abort = new AbortController();
  const report = (facts: ContainerFacts): void => sendBack({ type: "job.facts", id, facts });
  context.env.run(job, viewOf(context), report, abort.signal).then(
    (result) => sendBack({ type: "job.done", id, job, result }),
    (error: unknown) => sendBack({ type: "job.failed", id, job, failure: context.env.jobFailure(error) }),
  );
  return () => abort.abort();
});

interface Watched {
  readonly type: "targets";
  readonly targets: readonly CheckTarget[];
  readonly desired: DesiredPod;
}

/** Probes and postStart hooks, for as long as the machine lives. */
const checks = fromCallback<Watched, { readonly env: PodEnv }, PodEvent>(({ input: { env }, receive, sendBack }) => {
  const runner = env.openChecks((finding) => sendBack({ type: "checked", finding }));
  receive(({ targets, desired }) => runner.watch(targets, desired));
  return () => runner.close();
});

const deciders = { running: jobsWhileRunning, completed: jobsWhenCompleted, stopping: jobsWhileStopping };

export const podSetup = setup({
  types: { context: {} as PodContext, events: {} as PodEvent, input: {} as PodContext },
  actors: { work, job, checks },
  guards: {
    belongs: ({ context }, route: Route) => routeOf(context, context.env.now()) === route,
    mustWait: ({ context }) => (context.retry?.until ?? 0) > context.env.now(),
    mayRetry: ({ context }) => (context.retry?.until ?? 0) <= context.env.now(),
    nothingLives: ({ context }) => liveContainers(context).length === 0,
  },
  actions: {
    /** Follows every change: facts up to date, the one timer set, then "evaluate". */
    digest: enqueueActions(({ context, enqueue }) => {
      const now = context.env.now();
      const change = update.settled(context, now);
      const next = { ...context, ...change };
      const targets = checkTargets(next, now);
      const checking = targets.length > 0;
      enqueue.assign({ ...change, checking });
      if (checking || context.checking) enqueue.sendTo("checks", { type: "targets", targets, desired: next.desired });
      const at = wakeAt(next, now);
      enqueue.cancel("tick");
      if (at !== undefined) enqueue.raise({ type: "tick" }, { id: "tick", delay: Math.min(LONGEST_WAIT_MS, at - now) });
      enqueue.raise({ type: "evaluate" });
    }),
    settle: assign(({ context }) => update.settled(context, context.env.now())),
    /** Begins whatever jobs are due. */
    begin: enqueueActions(({ context, enqueue }, when: keyof typeof deciders) => {
      const jobs = deciders[when](context, context.env.now());
      if (jobs.length === 0) return;
      const next = begun(context, jobs);
      enqueue.assign(next);
      for (const one of jobs) {
        const id = next.jobs[one.key]?.id;
        if (id !== undefined) enqueue.spawnChild("job", { id, input: { id, job: one, context: next } });
      }
    }),
    /** Leaves a stage: whatever is in flight is called off. */
    dropJobs: enqueueActions(({ context, enqueue }) => {
      for (const { id } of Object.values(context.jobs)) enqueue.stopChild(id);
      enqueue.assign({ jobs: {} });
    }),
    workDone: assign((_, result: WorkResult) => ({ ...update.workDone(), ...result })),
    workFailed: assign(({ context }, error: unknown) =>
      update.workFailed(context, context.env.workFailure(error), context.env.now()),
    ),
    teardownFailed: assign(({ context }, error: unknown) =>
      update.teardownFailed(context, context.env.workFailure(error), context.env.now()),
    ),
    /** The number is taken before the work begins, and never given twice. */
    numberSandbox: assign(({ context }) => ({
      pod: { ...context.pod, sandboxAttempt: context.pod.sandboxAttempt + 1 },
    })),
    /** A sandbox is finished: it is all there is, and nothing about it is in doubt. */
    freshSandbox: assign({ unsure: [], lookWanted: false, touched: {}, hooked: [] }),
    loseSandbox: enqueueActions(({ context, enqueue }) => {
      enqueue.assign(update.sandboxLost(context, context.env.now()));
      enqueue(() =>
        context.env.event(
          context.desired,
          "Normal",
          "SandboxChanged",
          "Pod sandbox changed, it will be killed and re-created.",
        ),
      );
    }),
    startShutdown: assign(({ context }) => {
      const evicted = isEvicted(context);
      const graceMs = evicted ? 0 : context.desired.pod.spec.terminationGracePeriodSeconds * 1000;
      return {
        shutdownDeadline: context.env.now() + graceMs,
        killAtOnce: context.killAtOnce || evicted,
        dead: [],
        problem: undefined,
        holds: {},
        retry: undefined,
        retries: {},
      };
    }),
    endShutdown: assign({
      shutdownDeadline: undefined,
      dead: [],
      retry: undefined,
      retries: {},
      unsure: [],
      lookWanted: false,
    }),
    startStopping: assign({ dead: [], retry: undefined, retries: {} }),
  },
});
