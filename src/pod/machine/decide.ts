/** Which jobs to begin now. Pure; the machine begins them and remembers that they are in flight. */
import type { ObservedContainer, ObservedSandbox } from "../../sandbox/driver.ts";
import { PRE_STOP_LABEL } from "../labels.ts";
import { checksOf, graceAfter } from "../rules/checks.ts";
import type { Outlook } from "../rules/outlook.ts";
import { shouldRestart } from "../rules/restart.ts";
import { reservedFacts } from "../rules/run-facts.ts";
import { type LiveContainer, shutdownOrder } from "../rules/shutdown.ts";
import type { Slot } from "../rules/slots.ts";
import { wantsLogTail } from "../rules/termination.ts";
import { allContainers, currentSandbox, mayLive, type Placed } from "../rules/world.ts";
import { isBusy, isEvicted, measuresUsage, outlookIn, type PodContext, slotsIn, USAGE_INTERVAL_MS } from "./context.ts";
import type { Job } from "./env.ts";

/** For a pod that runs: whatever any of its containers needs, and the chores. */
export function jobsWhileRunning(context: PodContext, now: number): Job[] {
  const sandbox = currentSandbox(context.known);
  const containers = sandbox === undefined ? [] : [...containerJobs(context, sandbox, now), ...strangerJobs(context)];
  const beginning = new Set(containers.map(({ key }) => key));
  return startable(context, now, [
    ...containers,
    ...cleanupJob(context, beginning),
    ...chores(context),
    ...usageJob(context, now),
  ]);
}

/** For a pod that has ended: only what completes the picture. */
export function jobsWhenCompleted(context: PodContext, now: number): Job[] {
  const release: Job[] = isEvicted(context) && !context.released ? [{ type: "release", key: "release" }] : [];
  return startable(context, now, [...chores(context), ...release]);
}

/** One job per key, none that is in flight or has to wait after a failure. */
function startable(context: PodContext, now: number, jobs: readonly Job[]): Job[] {
  const first = new Map(jobs.toReversed().map((job) => [job.key, job]));
  return [...first.values()]
    .reverse()
    .filter(({ key }) => context.jobs[key] === undefined && (context.retries[key]?.until ?? 0) <= now);
}

/** While shutting down: all preStop hooks at once, and the stops whose turn it is. */
export function jobsWhileStopping(context: PodContext, now: number): Job[] {
  const slots = slotsIn(context);
  const live = liveContainers(context);
  const deadline = context.pod.deletionDeadline ?? context.shutdownDeadline ?? now;
  const limitMs = deadline - now;
  const order = live.map(({ container }): LiveContainer => {
    const index = slots.findIndex(({ name }) => name === container.name);
    return { id: container.id, kind: slots[index]?.kind ?? "main", index, preStop: preStopOf(context, container) };
  });
  const hooks = live.flatMap((placed): Job[] => {
    const { container } = placed;
    const due = limitMs > 0 && !context.killAtOnce && preStopOf(context, container) === "pending";
    return due ? [{ type: "preStop", key: `pre/${container.id}`, placed, limitMs }] : [];
  });
  const stops = shutdownOrder(order, deadline, now, context.killAtOnce).flatMap(({ id, graceMs }): Job[] => {
    const placed = live.find(({ container }) => container.id === id);
    // Two live runs of one name are stopped side by side, so the id is the key here.
    return placed === undefined
      ? []
      : [{ type: "stop", key: `stop/${id}`, placed, graceMs, preStop: false, why: undefined }];
  });
  return startable(context, now, [...hooks, ...stops]);
}

function preStopOf({ hooked }: PodContext, { id, labels }: ObservedContainer): LiveContainer["preStop"] {
  if (labels[PRE_STOP_LABEL] === undefined) return "none";
  return hooked.includes(id) ? "done" : "pending";
}

/** What still runs, as far as is known. */
export function liveContainers(context: PodContext): Placed[] {
  return allContainers(context.known).filter(
    ({ container }) => container.state === "running" && !context.dead.includes(container.id),
  );
}

function containerJobs(context: PodContext, sandbox: ObservedSandbox, now: number): Job[] {
  const outlook = outlookIn(context, now);
  return slotsIn(context)
    .filter(
      ({ name }) =>
        (context.holds[name]?.until ?? 0) <= now && !isBusy(context, name) && !context.unsure.includes(name),
    )
    .flatMap((slot) => containerJob(context, sandbox, outlook, slot) ?? []);
}

function containerJob(
  context: PodContext,
  sandbox: ObservedSandbox,
  { runs, turn }: Outlook,
  slot: Slot,
): Job | undefined {
  const { name } = slot;
  const run = runs.get(name);
  const key = `c/${name}`;
  switch (run?.type) {
    case "due": {
      if (!turn.has(name)) return undefined;
      const discard = allContainers(context.known).filter(
        // A lost one may have lost its monitor only, and still hold what its successor needs.
        ({ container }) => container.name === name && (mayLive(container) || container.state === "unknown"),
      );
      return {
        type: "start",
        key,
        slot,
        facts: reservedFacts(context.pod.uid, slot, context.facts[name]),
        sandbox,
        discard,
      };
    }
    case "created": {
      const facts = context.facts[name];
      if (facts === undefined || !turn.has(name)) return undefined;
      return { type: "resume", key, slot, facts, sandbox, container: run.container };
    }
    case "live": {
      const placed = { sandboxId: sandbox.id, ready: true, container: run.container };
      if (run.outdated) return { type: "replace", key, slot, sandbox, placed, graceMs: graceMs(context) };
      const { failure } = checksOf(slot, run.container.id, context.facts[name]);
      if (failure === undefined) return undefined;
      const again = shouldRestart(slot.kind, slot.policy, { exitCode: 137, killedFor: failure });
      const failed = failure.check === "postStart" ? "its postStart hook" : `${failure.check} probe`;
      const why = `Container ${name} failed ${failed}${again ? ", will be restarted" : ""}`;
      return {
        type: "stop",
        key,
        placed,
        graceMs: graceAfter(slot, failure.check, graceMs(context)),
        preStop: true,
        why,
      };
    }
    case "backoff":
    case "ended":
    case undefined:
      return undefined;
  }
}

/** Containers that the spec no longer has. */
function strangerJobs(context: PodContext): Job[] {
  const names = new Set(slotsIn(context).map(({ name }) => name));
  return allContainers(context.known)
    .filter(
      ({ container }) => !names.has(container.name) && mayLive(container) && !context.unsure.includes(container.name),
    )
    .map((placed) => ({
      type: "stop",
      key: `c/${placed.container.name}`,
      placed,
      graceMs: graceMs(context),
      preStop: true,
      why: undefined,
    }));
}

/** Keeps of every container the newest run, and the logs of the last two. */
function cleanupJob(context: PodContext, beginning: ReadonlySet<string>): Job[] {
  const slots = new Map(slotsIn(context).map((slot) => [slot.name, slot]));
  const settled = (name: string): boolean =>
    !isBusy(context, name) && !beginning.has(`c/${name}`) && !context.unsure.includes(name);
  const containers = allContainers(context.known).filter(({ container }) => {
    if (!settled(container.name)) return false;
    const facts = context.facts[container.name];
    if (!slots.has(container.name)) return !mayLive(container);
    const newest = facts === undefined ? 0 : facts.attempt - 1;
    const failedToStart = container.attempt === facts?.lastExit?.attempt && mayLive(container);
    return container.attempt < newest || failedToStart;
  });
  const stillThere = new Set(allContainers(context.known).map(({ container }) => container.name));
  const going = new Set(containers.map(({ container }) => container.name));
  const forget = Object.keys(context.facts).filter(
    (name) => !slots.has(name) && settled(name) && (going.has(name) || !stillThere.has(name)),
  );
  if (containers.length === 0 && forget.length === 0 && !context.pruneWanted) return [];
  const keepLogsFrom = Object.fromEntries(
    Object.values(context.facts).map(({ name, attempt, lastExit, previousExit }) => {
      const current = attempt - 1;
      // With a live run its predecessor is "the previous"; without one the last two to have ended are shown.
      const previous =
        lastExit !== undefined && lastExit.attempt < current
          ? lastExit.attempt
          : (previousExit?.attempt ?? lastExit?.attempt ?? current);
      return [name, Math.min(current, previous)];
    }),
  );
  return [{ type: "cleanup", key: "cleanup", containers, keepLogsFrom, forget }];
}

function chores(context: PodContext): Job[] {
  const jobs: Job[] = [];
  if (context.lookWanted) jobs.push({ type: "look", key: "look" });
  if (context.refreshWanted) jobs.push({ type: "refresh", key: "refresh" });
  for (const { name, spec } of slotsIn(context)) {
    const exit = context.facts[name]?.lastExit;
    if (
      exit === undefined ||
      exit.reason === "StartError" ||
      exit.logPath === "" ||
      context.tailed[name] === exit.attempt
    )
      continue;
    if (!wantsLogTail(spec.terminationMessagePolicy, exit.exitCode, exit.message)) continue;
    jobs.push({ type: "tail", key: `tail/${name}`, name, attempt: exit.attempt, logPath: exit.logPath });
  }
  return jobs;
}

function usageJob(context: PodContext, now: number): Job[] {
  const due = measuresUsage(context.desired) && now - context.usageCheckedAt >= USAGE_INTERVAL_MS;
  return due ? [{ type: "usage", key: "usage" }] : [];
}

function graceMs({ desired }: PodContext): number {
  return desired.pod.spec.terminationGracePeriodSeconds * 1000;
}

/** `context` with `jobs` in flight. */
export function begun(context: PodContext, jobs: readonly Job[]): PodContext {
  let next = context;
  for (const job of jobs) {
    const seq = next.seq + 1;
    next = { ...next, seq, jobs: { ...next.jobs, [job.key]: { id: `${job.key}#${seq}` } } };
    switch (job.type) {
      case "start":
        next = {
          ...next,
          facts: { ...next.facts, [job.slot.name]: job.facts },
          touched: { ...next.touched, [job.slot.name]: seq },
        };
        break;
      case "resume":
      case "replace":
        next = { ...next, touched: { ...next.touched, [job.slot.name]: seq } };
        break;
      case "look":
        next = { ...next, lookWanted: false, lookSeq: seq };
        break;
      case "refresh":
        next = { ...next, refreshWanted: false };
        break;
      case "tail":
        next = { ...next, tailed: { ...next.tailed, [job.name]: job.attempt } };
        break;
      case "stop":
      case "preStop":
      case "cleanup":
      case "usage":
      case "release":
        break;
    }
  }
  return next;
}
