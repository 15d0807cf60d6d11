/** How the end of a job changes what is known. Pure. */
import type { ContainerFacts } from "../../store/contract.ts";
import { mergeLook, newlyEnded } from "../rules/observation.ts";
import { recordExit } from "../rules/restart.ts";
import { cutMessage } from "../rules/termination.ts";
import { withContainer, withoutContainers } from "../rules/world.ts";
import { EVICTED, isBusy, isShuttingDown, type PodContext, slotsIn } from "./context.ts";
import type { Job, JobFailure, JobResult } from "./env.ts";
import { nextHold, without } from "./updates.ts";

type Change = Partial<PodContext>;

/** The container that a job works on, if it is one. */
function nameOf(job: Job): string | undefined {
  return job.key.startsWith("c/") ? job.key.slice(2) : undefined;
}

/** It is not in flight any more, and what was looked at before now may be from before its effect. */
function ended(context: PodContext, job: Job): PodContext {
  const name = nameOf(job);
  const seq = context.seq + 1;
  const touched = name === undefined ? context.touched : { ...context.touched, [name]: seq };
  const missed = context.missed.filter((one) => one !== name);
  const lookWanted = context.lookWanted || missed.length < context.missed.length;
  return { ...context, seq, touched, missed, lookWanted, jobs: without(context.jobs, [job.key]) };
}

export function jobDone(before: PodContext, job: Job, result: JobResult, now: number): Change {
  const context = { ...ended(before, job), retries: without(before.retries, [job.key]) };
  switch (result.type) {
    case "started":
      return {
        ...context,
        known: withContainer(context.known, result.sandboxId, result.container),
        holds: without(context.holds, [result.name]),
        pruneWanted: context.pruneWanted || result.container.attempt > 1,
      };
    case "stopped":
      if (isShuttingDown(context)) return { ...context, dead: [...context.dead, result.containerId] };
      // How it ended, only a look tells.
      return { ...context, lookWanted: true, unsure: unique([...context.unsure, result.name]) };
    case "hooked":
      return { ...context, hooked: [...context.hooked, result.containerId] };
    case "cleaned":
      return {
        ...context,
        known: withoutContainers(context.known, new Set(result.ids)),
        facts: without(context.facts, result.forgotten),
        pruneWanted: false,
      };
    case "looked": {
      const keep = (name: string): boolean => isBusy(context, name) || (context.touched[name] ?? 0) > context.lookSeq;
      // Ended, as it seems, but the look may be older than what we did: the next one tells.
      const late = newlyEnded(context.known, result.sandboxes).filter(keep);
      return {
        ...context,
        known: mergeLook(context.known, result.sandboxes, keep),
        unsure: context.unsure.filter(keep),
        missed: unique([...context.missed, ...late.filter((name) => isBusy(context, name))]),
        lookWanted: context.lookWanted || context.unsure.some(keep) || late.some((name) => !isBusy(context, name)),
      };
    }
    case "refreshed":
      return context;
    case "measured":
      return {
        ...context,
        usageCheckedAt: now,
        ...(result.over === undefined || context.pod.failure !== undefined
          ? {}
          : { pod: { ...context.pod, failure: { reason: EVICTED, message: result.over } } }),
      };
    case "released":
      return { ...context, known: [], released: true };
    case "message": {
      const facts = context.facts[result.name];
      const exit = facts?.lastExit;
      if (facts === undefined || exit?.attempt !== result.attempt || result.message === "") return context;
      const message = cutMessage(result.message, slotsIn(context).length);
      return {
        ...context,
        facts: { ...context.facts, [result.name]: { ...facts, lastExit: { ...exit, message } } },
      };
    }
  }
}

export function jobFailed(before: PodContext, job: Job, failure: JobFailure, now: number): Change {
  const context = ended(before, job);
  const again = retryOf(context, job.key, now);
  switch (job.type) {
    case "start":
    case "resume": {
      const dark = { unsure: unique([...context.unsure, job.slot.name]), lookWanted: true };
      const facts = context.facts[job.slot.name];
      if (failure.startError !== undefined && facts !== undefined) {
        return {
          ...context,
          ...dark,
          facts: { ...context.facts, [job.slot.name]: startFailed(context, facts, failure, failure.startError, now) },
        };
      }
      return { ...context, ...dark, holds: held(context, job.slot.name, failure, now) };
    }
    case "replace":
      return {
        ...context,
        unsure: unique([...context.unsure, job.slot.name]),
        lookWanted: true,
        holds: held(context, job.slot.name, failure, now),
      };
    case "look":
      return { ...context, lookWanted: true, retries: again };
    case "stop":
      return { ...context, retries: again };
    case "preStop":
      return { ...context, hooked: [...context.hooked, job.placed.container.id] };
    case "release":
      return { ...context, retries: again };
    case "cleanup":
    case "refresh":
      return { ...context, retries: again, refreshWanted: context.refreshWanted || job.type === "refresh" };
    case "usage":
      return { ...context, usageCheckedAt: now };
    case "tail":
      return context; // the message stays empty
  }
}

function startFailed(
  context: PodContext,
  facts: ContainerFacts,
  failure: JobFailure,
  made: NonNullable<JobFailure["startError"]>,
  now: number,
): ContainerFacts {
  const slot = slotsIn(context).find(({ name }) => name === facts.name);
  const exit = {
    ...made,
    attempt: facts.attempt - 1,
    exitCode: 128,
    reason: "StartError",
    message: failure.message,
    startedAt: undefined,
    finishedAt: now,
  };
  return recordExit(facts, exit, {
    kind: slot?.kind ?? "main",
    policy: slot?.policy ?? "Always",
    ...context.env.backoff(context.desired),
  });
}

function held(context: PodContext, name: string, failure: JobFailure, now: number): PodContext["holds"] {
  return { ...context.holds, [name]: nextHold(context.holds[name], failure, now) };
}

function retryOf(context: PodContext, key: string, now: number): PodContext["retries"] {
  const failures = (context.retries[key]?.failures ?? 0) + 1;
  return {
    ...context.retries,
    [key]: { failures, until: now + Math.min(30_000, 1000 * 2 ** Math.min(failures - 1, 10)) },
  };
}

function unique(names: readonly string[]): readonly string[] {
  return [...new Set(names)];
}
