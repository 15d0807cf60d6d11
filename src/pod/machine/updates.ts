/** How knowledge changes: one pure function per event. */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import { retryDelay } from "../rules/backoff.ts";
import { checksAfter, checksOf, type Finding } from "../rules/checks.ts";
import type { Hold } from "../rules/container-state.ts";
import { noticeExits } from "../rules/exits.ts";
import { isProgress, newlyEnded } from "../rules/observation.ts";
import { pullReason } from "../rules/pull.ts";
import { runOf } from "../rules/run.ts";
import { activeDeadline, EVICTED, isBusy, outlookIn, type PodContext, slotsIn } from "./context.ts";
import type { WorkFailure } from "./env.ts";

type Change = Partial<PodContext>;

/** The part that every change is followed by: restarts that were asked for, ends that show, deadlines that passed. */
export function settled(context: PodContext, now: number): Change {
  const restarted = applyRestarts(context);
  const facts = noticeExits(restarted.facts, {
    pod: context.pod,
    slots: slotsIn(context),
    known: context.known,
    busy: (name) => isBusy(context, name) || context.unsure.includes(name),
    backoff: context.env.backoff(context.desired),
    now,
  });
  const next = { ...context, ...restarted, facts };
  const deadline = activeDeadline(next);
  const late =
    deadline !== undefined &&
    now >= deadline &&
    next.pod.failure === undefined &&
    next.pod.deletionDeadline === undefined &&
    !outlookIn(next, now).complete;
  if (!late) return { ...restarted, facts };
  const failure = {
    reason: "DeadlineExceeded",
    message: "Pod was active on the node longer than the specified deadline",
  };
  return { ...restarted, facts, pod: { ...next.pod, failure } };
}

function applyRestarts(context: PodContext): Pick<PodContext, "facts" | "holds" | "restartWanted"> {
  const now = context.restartWanted.filter((name) => !isBusy(context, name) && !context.unsure.includes(name));
  if (now.length === 0) return context;
  const facts = { ...context.facts };
  for (const name of now) {
    const one = facts[name];
    // An empty hash says that a new run is due, however the last one ended; it is kept over a crash.
    if (one !== undefined) facts[name] = { ...one, specHash: "", backoffLevel: 0, backoffUntil: undefined };
  }
  return {
    facts,
    holds: without(context.holds, now),
    restartWanted: context.restartWanted.filter((name) => !now.includes(name)),
  };
}

export function desiredChanged(context: PodContext, desired: DesiredPod): Change {
  if (context.pod.deletionDeadline !== undefined || desired === context.desired) return {};
  const changed = Object.keys(context.holds).filter(
    (name) => desired.containerHashes[name] !== context.desired.containerHashes[name],
  );
  const refreshWanted = context.refreshWanted || showsOtherFields(context.desired, desired);
  return { desired, holds: without(context.holds, changed), retry: undefined, refreshWanted };
}

/** Labels or annotations are others now, and files of a volume may show them. */
function showsOtherFields(before: DesiredPod, { pod: { metadata, spec } }: DesiredPod): boolean {
  const shows = spec.volumes?.some(
    ({ downwardAPI, projected }) =>
      downwardAPI !== undefined || projected?.sources?.some((source) => source.downwardAPI !== undefined),
  );
  const fields = ({ labels, annotations }: typeof metadata): string => JSON.stringify([labels, annotations]);
  return shows === true && fields(metadata) !== fields(before.pod.metadata);
}

/** A report from outside, possibly from before our own last deed. */
export function observed(context: PodContext, seen: readonly ObservedSandbox[]): Change {
  const idle = (sandboxes: readonly ObservedSandbox[]): ObservedSandbox[] =>
    sandboxes.map((sandbox) => ({
      ...sandbox,
      containers: sandbox.containers.filter(({ name }) => !isBusy(context, name)),
    }));
  const before = idle(context.known);
  const now = idle(seen);
  const busy = newlyEnded(context.known, seen).filter((name) => isBusy(context, name));
  const missed = busy.length === 0 ? context.missed : [...new Set([...context.missed, ...busy])];
  if (!isProgress(before, now)) return { lookWanted: true, missed };
  const known = context.known.map((sandbox) => {
    const fresh = now.find(({ id }) => id === sandbox.id);
    return fresh === undefined
      ? sandbox
      : {
          ...fresh,
          containers: [...fresh.containers, ...sandbox.containers.filter(({ name }) => isBusy(context, name))],
        };
  });
  return { known, missed };
}

/** @param graceMs absent: the grace of the pod's spec. A later call can only shorten it. */
export function removalWanted(context: PodContext, graceMs: number | undefined, now: number): Change {
  const wanted = now + (graceMs ?? context.desired.pod.spec.terminationGracePeriodSeconds * 1000);
  const before = context.pod.deletionDeadline;
  if (before !== undefined && before <= wanted) return { killAtOnce: context.killAtOnce || graceMs === 0 };
  return { pod: { ...context.pod, deletionDeadline: wanted }, killAtOnce: graceMs === 0, retry: undefined, jobs: {} };
}

export function restartAsked(context: PodContext, container: string | undefined): Change {
  if (context.pod.failure !== undefined || context.pod.deletionDeadline !== undefined) return {};
  const names = slotsIn(context)
    .filter(({ name, kind }) => kind !== "init" && (container === undefined || name === container))
    .map(({ name }) => name);
  return { restartWanted: [...new Set([...context.restartWanted, ...names])], retry: undefined };
}

/** The node needs what the pod takes. One that is over, or on its way out, is left alone. */
export function evicted(context: PodContext, message: string, now: number): Change {
  const { pod } = context;
  if (pod.failure !== undefined || pod.deletionDeadline !== undefined || outlookIn(context, now).complete) return {};
  return { pod: { ...pod, failure: { reason: EVICTED, message } }, retry: undefined };
}

/** What waited for a ConfigMap, a Secret or an image may go on. */
export function configChanged(): Change {
  return { holds: {}, retry: undefined, refreshWanted: true };
}

/** A probe or a hook came to a result; about a run that is not the present one it says nothing. */
export function checked(context: PodContext, finding: Finding, now: number): Change {
  const slot = slotsIn(context).find(({ name }) => name === finding.name);
  const facts = context.facts[finding.name];
  if (slot === undefined || facts === undefined) return {};
  const run = runOf(slot, facts, context.known, now);
  if (run.type !== "live" || run.container.id !== finding.containerId) return {};
  const before = checksOf(slot, finding.containerId, facts);
  const after = checksAfter(before, finding, now);
  if (after === before) return {};
  return { facts: { ...context.facts, [facts.name]: { ...facts, checks: after } } };
}

/** A job saved facts half way, before an effect that observation can't tell. */
export function factsReported(context: PodContext, facts: ContainerFacts): Change {
  return { facts: { ...context.facts, [facts.name]: facts } };
}

export function pulling(context: PodContext, container: string, text: string | undefined): Change {
  const others = without(context.pulling, [container]);
  return { pulling: text === undefined ? others : { ...others, [container]: text } };
}

/** The state's own work failed. What failed for a container counts its own failures, everything else together. */
export function workFailed(context: PodContext, failure: WorkFailure, now: number): Change {
  const holds = Object.fromEntries(
    Object.entries(failure.containers).map(([name, said]) => [name, nextHold(context.holds[name], said, now)]),
  );
  const counts = Object.values(holds).map((hold) => hold.failures);
  const ofOthers = Object.keys(context.holds).length > 0 ? 0 : (context.retry?.failures ?? 0);
  const failures = counts.length > 0 ? Math.max(...counts) : ofOthers + 1;
  const until = now + retryDelay(failures - 1);
  const reason = pullReason(failure.reason, failures);
  return { retry: { failures, until }, problem: { reason, message: failure.message }, holds };
}

/** One more failure in a row. */
export function nextHold(before: Hold | undefined, said: Pick<Hold, "reason" | "message">, now: number): Hold {
  const failures = (before?.failures ?? 0) + 1;
  const reason = pullReason(said.reason, failures);
  return { reason, message: said.message, failures, until: now + retryDelay(failures - 1) };
}

export function workDone(): Change {
  return { retry: undefined, problem: undefined, holds: {} };
}

/** Stopping must not be given up for long: from 1 s to 30 s. */
export function teardownFailed(context: PodContext, failure: WorkFailure, now: number): Change {
  const failures = (context.retry?.failures ?? 0) + 1;
  return {
    retry: { failures, until: now + Math.min(30_000, 1000 * 2 ** Math.min(failures - 1, 10)) },
    problem: { reason: failure.reason, message: failure.message },
  };
}

/** A sandbox lost soon after it was made: the next one waits longer and longer, so that nothing spins. */
export function sandboxLost(context: PodContext, now: number): Change {
  const newest = Math.max(0, ...context.known.map(({ createdAt }) => createdAt));
  const losses = context.known.length > 0 && now - newest > 60_000 ? 1 : context.losses + 1;
  return { losses, retry: losses < 3 ? undefined : { failures: losses - 2, until: now + retryDelay(losses - 3) } };
}

export function without<T>(record: Readonly<Record<string, T>>, names: readonly string[]): Readonly<Record<string, T>> {
  return names.length === 0
    ? record
    : Object.fromEntries(Object.entries(record).filter(([name]) => !names.includes(name)));
}
