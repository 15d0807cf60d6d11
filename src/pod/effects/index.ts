/** Everything that a pod's machine does to the world. */
import type { PreparedVolume } from "../../sandbox/driver.ts";
import { isGantryError } from "../../system/errors.ts";
import type { CheckRunner, Job, JobResult, PodEnv } from "../machine/env.ts";
import { backoffOf } from "../rules/backoff.ts";
import { openChecks } from "./checks.ts";
import { cleanup, measure, refresh, release, tail } from "./chores.ts";
import { failureEvent, replace, resume, start, stop } from "./containers.ts";
import { preStop } from "./pre-stop.ts";
import { prepare, removeSandboxes, runSandbox, settle, stopSandboxes, teardown } from "./sandboxes.ts";
import { look, type PodScope, podIp, tell } from "./scope.ts";
import { jobFailure, workFailure } from "./step-error.ts";

export type { PodScope } from "./scope.ts";

/** @param maxBackoffMs the node's longest restart backoff */
export function createPodEnv(scope: PodScope, maxBackoffMs: number): PodEnv {
  const { tracker } = scope;
  let volumes: readonly PreparedVolume[] = [];
  let checks: CheckRunner | undefined;

  const work = (job: Job, ...[view, report, signal]: RunArguments): Promise<JobResult> => {
    switch (job.type) {
      case "start":
        return start(scope, job, view, report, signal);
      case "resume":
        return resume(scope, job, view, report, signal);
      case "replace":
        return replace(scope, job, view, signal);
      case "stop":
        return stop(scope, job, view, signal);
      case "preStop":
        return preStop(scope, job, view, signal);
      case "cleanup":
        return cleanup(scope, job, view, signal);
      case "look":
        return look(scope, view.desired).then((sandboxes) => ({ type: "looked", sandboxes }));
      case "refresh":
        return refresh(scope, view, signal);
      case "usage":
        return measure(scope, view);
      case "release":
        return release(scope, view, signal);
      case "tail":
        return tail(job);
    }
  };

  return {
    backoff: ({ pod }) => backoffOf(pod.metadata.annotations, maxBackoffMs),
    now: () => scope.ports.clock.now(),
    podIp: (desired, sandbox) => podIp(scope, desired, sandbox),
    openChecks: (report) => {
      checks = openChecks(scope, report);
      return checks;
    },
    close: () => checks?.close(),
    event: (desired, type, reason, message) => tell(scope, desired, type, reason, message),
    jobFailure,
    workFailure,
    run: (job, view, report, signal) =>
      // One thing at a time is done to a container, also when the one before was called off.
      tracker.run(workOn(job), async () => {
        signal.throwIfAborted();
        try {
          return await work(job, view, report, signal);
        } catch (error) {
          const event = signal.aborted ? undefined : failureEvent(job, error);
          if (event !== undefined) tell(scope, view.desired, "Warning", event.reason, event.message);
          if (event === undefined && !isGantryError(error, "cancelled"))
            scope.ports.log.warn({ uid: scope.uid, job: job.key, err: error }, "will be tried again");
          throw error;
        }
      }),
    prepare: (view, signal) =>
      tracker.run("pod", async () => {
        volumes = await prepare(scope, view, signal);
      }),
    runSandbox: (view, signal) => tracker.run("pod", () => runSandbox(scope, view, volumes, signal)),
    settle: (view) => settle(scope, view),
    stopSandboxes: (view, signal) => stopSandboxes(scope, view, signal),
    removeSandboxes: (view, signal) => tracker.run("pod", () => removeSandboxes(scope, view, signal)),
    teardown: (view, signal) => teardown(scope, view, signal),
  };
}

type RunArguments = Parameters<PodEnv["run"]> extends [Job, ...infer Rest] ? Rest : never;

/** What a job must have to itself. */
function workOn(job: Job): string {
  return job.type === "stop" ? `c/${job.placed.container.name}/${job.placed.container.id}` : job.key;
}
