/**
 * The pod machine. Its states are the stages of a pod; what the containers in it need is decided anew, from facts
 * and observation, after every event ("evaluate"), and done by jobs beside the states.
 */
import { assign, enqueueActions } from "xstate";
import type { PodContext, Route } from "./context.ts";
import { jobDone, jobFailed } from "./job-updates.ts";
import { podSetup, type Task, type WorkResult } from "./setup.ts";
import * as update from "./updates.ts";

const now = ({ env }: PodContext): number => env.now();

/** The pod belongs elsewhere: go there. */
function to<const R extends Route>(route: R) {
  return { guard: { type: "belongs", params: route }, target: `#pod.${route}` } as const;
}

/** Wherever a pod comes to its end by decision. */
const interrupted = [to("stopping"), to("completing"), to("completed")] as const;

/** The state's own work. */
function working<const T extends Task>(task: T) {
  return { src: "work", input: ({ context }: { context: PodContext }) => ({ task, context }) } as const;
}

/** What the end of such work says. */
const takeResult = {
  type: "workDone",
  params: ({ event }: { event: { output: WorkResult } }) => event.output,
} as const;
const takeFailure = { type: "workFailed", params: ({ event }: { event: { error: unknown } }) => event.error } as const;
const takeTeardownFailure = {
  type: "teardownFailed",
  params: ({ event }: { event: { error: unknown } }) => event.error,
} as const;

const completing = podSetup.createStateConfig({
  initial: "gathering",
  entry: "startShutdown",
  exit: ["dropJobs", "endShutdown"],
  on: { evaluate: to("stopping") },
  states: {
    gathering: {
      invoke: {
        ...working("settle"),
        onDone: { target: "shutting", actions: takeResult },
        onError: { target: "waiting", actions: takeTeardownFailure },
      },
    },
    shutting: {
      entry: "digest",
      exit: "dropJobs",
      on: {
        evaluate: [
          to("stopping"),
          { guard: "nothingLives", target: "ending" },
          { actions: { type: "begin", params: "stopping" } },
        ],
      },
    },
    ending: {
      invoke: {
        ...working("stopSandboxes"),
        onDone: { target: "#pod.routing", actions: takeResult },
        onError: { target: "waiting", actions: takeTeardownFailure },
      },
    },
    waiting: { entry: "digest", on: { evaluate: [to("stopping"), { guard: "mayRetry", target: "gathering" }] } },
  },
});

const stopping = podSetup.createStateConfig({
  initial: "gathering",
  entry: "startStopping",
  states: {
    gathering: {
      invoke: {
        ...working("settle"),
        onDone: { target: "shutting", actions: takeResult },
        onError: { target: "waiting", actions: takeTeardownFailure },
      },
    },
    shutting: {
      entry: "digest",
      exit: "dropJobs",
      on: {
        evaluate: [{ guard: "nothingLives", target: "tearing" }, { actions: { type: "begin", params: "stopping" } }],
      },
    },
    tearing: {
      invoke: {
        ...working("teardown"),
        onDone: { target: "#pod.removed", actions: takeResult },
        onError: { target: "waiting", actions: takeTeardownFailure },
      },
    },
    waiting: { entry: "digest", on: { evaluate: { guard: "mayRetry", target: "gathering" } } },
  },
});

export const podMachine = podSetup.createMachine({
  id: "pod",
  context: ({ input }) => input,
  // States that send each other round in a circle are an error of this one pod's machine, not a daemon that hangs.
  options: { maxIterations: 1000 },
  initial: "routing",
  invoke: { src: "checks", id: "checks", input: ({ context }) => ({ env: context.env }) },
  on: {
    checked: {
      actions: [assign(({ context, event }) => update.checked(context, event.finding, now(context))), "digest"],
    },
    desired: { actions: [assign(({ context, event }) => update.desiredChanged(context, event.desired)), "digest"] },
    observed: { actions: [assign(({ context, event }) => update.observed(context, event.sandboxes)), "digest"] },
    remove: {
      actions: [
        enqueueActions(({ context, event, enqueue }) => {
          const change = update.removalWanted(context, event.graceMs, now(context));
          // A shorter grace: the stops in flight are called off and begun again with what is left of it.
          if (change.jobs !== undefined) for (const { id } of Object.values(context.jobs)) enqueue.stopChild(id);
          enqueue.assign(change);
        }),
        "digest",
      ],
    },
    restart: { actions: [assign(({ context, event }) => update.restartAsked(context, event.container)), "digest"] },
    evict: {
      actions: [assign(({ context, event }) => update.evicted(context, event.message, now(context))), "digest"],
    },
    config: { actions: [assign(() => update.configChanged()), "digest"] },
    // Only said: nothing follows from it.
    pulling: { actions: assign(({ context, event }) => update.pulling(context, event.container, event.text)) },
    tick: { actions: "digest" },
    "job.facts": {
      guard: ({ context, event }) => Object.values(context.jobs).some(({ id }) => id === event.id),
      actions: assign(({ context, event }) => update.factsReported(context, event.facts)),
    },
    "job.done": {
      guard: ({ context, event }) => context.jobs[event.job.key]?.id === event.id,
      actions: [
        enqueueActions(({ event, enqueue }) => enqueue.stopChild(event.id)),
        assign(({ context, event }) => jobDone(context, event.job, event.result, now(context))),
        "digest",
      ],
    },
    "job.failed": {
      guard: ({ context, event }) => context.jobs[event.job.key]?.id === event.id,
      actions: [
        enqueueActions(({ event, enqueue }) => enqueue.stopChild(event.id)),
        assign(({ context, event }) => jobFailed(context, event.job, event.failure, now(context))),
        "digest",
      ],
    },
  },
  states: {
    routing: {
      entry: "settle",
      always: [
        ...interrupted,
        { guard: "mustWait", target: "retrying" },
        to("resetting"),
        to("preparing"),
        to("running"),
      ],
    },
    /** Something failed; it is tried again at context.retry.until, or sooner when what it waits for has changed. */
    retrying: { entry: "digest", on: { evaluate: [...interrupted, { guard: "mayRetry", target: "routing" }] } },
    preparing: {
      entry: "digest",
      invoke: {
        ...working("prepare"),
        onDone: "sandbox",
        onError: { target: "retrying", actions: takeFailure },
      },
      on: {
        evaluate: interrupted,
        // What is being prepared may be out of date now.
        desired: {
          target: "preparing",
          reenter: true,
          actions: assign(({ context, event }) => update.desiredChanged(context, event.desired)),
        },
      },
    },
    sandbox: {
      entry: ["numberSandbox", "digest"],
      invoke: {
        ...working("runSandbox"),
        onDone: { target: "running", actions: [takeResult, "freshSandbox"] },
        onError: { target: "retrying", actions: takeFailure },
      },
      on: { evaluate: interrupted },
    },
    /** Takes away what is left of sandboxes that can't be used. */
    resetting: {
      initial: "ending",
      entry: "digest",
      on: { evaluate: interrupted },
      states: {
        ending: {
          invoke: {
            ...working("stopSandboxes"),
            onDone: { target: "judging", actions: [takeResult, "settle"] },
            onError: { target: "#pod.retrying", actions: takeFailure },
          },
        },
        // What ended with the sandbox may have been the last of the pod.
        judging: { always: [...interrupted, { target: "clearing" }] },
        clearing: {
          invoke: {
            ...working("removeSandboxes"),
            onDone: { target: "#pod.routing", actions: takeResult },
            onError: { target: "#pod.retrying", actions: takeFailure },
          },
        },
      },
    },
    running: {
      entry: "digest",
      exit: "dropJobs",
      on: {
        evaluate: [
          ...interrupted,
          { ...to("resetting"), target: "routing", actions: "loseSandbox" },
          { ...to("preparing"), target: "routing", actions: "loseSandbox" },
          { actions: { type: "begin", params: "running" } },
        ],
      },
    },
    /** The pod has ended, by itself or by decision: what still runs is stopped, then its sandbox; traces stay to be seen. */
    completing,
    completed: {
      entry: "digest",
      exit: "dropJobs",
      on: {
        evaluate: [
          to("stopping"),
          to("completing"),
          { ...to("preparing"), target: "routing" },
          { ...to("resetting"), target: "routing" },
          { ...to("running"), target: "routing" },
          { actions: { type: "begin", params: "completed" } },
        ],
      },
    },
    stopping,
    removed: { type: "final" },
  },
});
