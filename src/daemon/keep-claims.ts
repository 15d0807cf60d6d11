import { formatProblem, type Problem } from "../manifest/index.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import { UNSCHEDULABLE } from "../pod/rules/conditions.ts";
import type { Reconciler } from "../reconcile/index.ts";
import type { NewEvent } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import { shrinkProblems } from "../volume/claim/shrink.ts";
import type { ClaimNote, ClaimVolume, ClaimVolumes } from "../volume/index.ts";

export interface ClaimParts {
  readonly volumes: ClaimVolumes;
  readonly reconciler: Pick<Reconciler, "claims" | "writtenClaims" | "watchObjects">;
  readonly supervisor: Pick<PodSupervisor, "subscribe" | "list" | "get" | "configChanged">;
  readonly event: (event: NewEvent) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface ClaimKeeper {
  /** Claims that ask for what can't be, as of the last round. */
  problems(): readonly Problem[];
  /** The volumes, as of the last round. */
  volumes(): readonly ClaimVolume[];
  /** Calls back when they are others than before. */
  watchVolumes(listener: () => void): () => void;
  /** Lets volumes follow their claims from now on. */
  start(signal: AbortSignal): void;
  /** Resolves once the round that goes on is over. */
  end(): Promise<void>;
}

/** The longest that a timer waits before it looks at the clock again, ms: clocks are set, hosts sleep. */
const LONGEST_WAIT_MS = 60_000;

/** Lets volumes follow their claims: whenever what is wanted changes, a pod ends or is gone, and when one's time is up. */
export function keepClaims(parts: ClaimParts): ClaimKeeper {
  const { reconciler, supervisor, volumes, clock, log } = parts;
  let current: Promise<void> | undefined;
  let again = false;
  let ended = false;
  let timer: TimerHandle | undefined;
  let stops: (() => void)[] = [];
  let problems: readonly Problem[] = [];
  let seen: readonly ClaimVolume[] = [];
  const listeners = new Set<() => void>();
  /** What was told in the last round: nothing is told twice while it stays as it is. */
  let told = new Set<string>();
  const completed = new Set<string>();

  const round = async (signal: AbortSignal): Promise<void> => {
    const wanted = reconciler.claims();
    if (wanted === undefined) return;
    const { notes, lookAt } = await volumes.reconcile(wanted, signal);
    const found = await volumes.list();
    problems = shrinkProblems(reconciler.writtenClaims(), found);
    const changed = JSON.stringify(found) !== JSON.stringify(seen);
    seen = found;
    if (changed) for (const listener of listeners) listener();
    const all = [...notes, ...problems.map(noteOf)];
    for (const note of all) if (!told.has(JSON.stringify(note))) parts.event(eventOf(note, clock.now()));
    told = new Set(all.map((note) => JSON.stringify(note)));
    if (lookAt === undefined || ended) return;
    const waitMs = Math.min(LONGEST_WAIT_MS, Math.max(0, lookAt - clock.now()));
    timer = clock.setTimeout(() => look(signal), waitMs);
  };
  const rounds = async (signal: AbortSignal): Promise<void> => {
    do {
      again = false;
      clock.clearTimeout(timer);
      try {
        await round(signal);
      } catch (error) {
        if (!signal.aborted) log.warn({ reason: messageOf(error) }, "the volumes could not be brought up to date");
      }
    } while (again && !ended);
  };
  const look = (signal: AbortSignal): void => {
    again = true;
    if (ended || current !== undefined) return;
    current = rounds(signal).finally(() => {
      current = undefined;
    });
  };
  /** Whoever waits for what a pod had tries again. */
  const freed = (): void => {
    for (const { uid, problem } of supervisor.list())
      if (problem?.reason === UNSCHEDULABLE) supervisor.configChanged(uid);
  };

  return {
    problems: () => problems,
    volumes: () => seen,
    watchVolumes(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    start(signal) {
      stops = [
        reconciler.watchObjects(() => look(signal)),
        supervisor.subscribe(({ type, uid }) => {
          if (type === "removed") {
            completed.delete(uid);
            look(signal);
            freed();
          } else if (supervisor.get(uid)?.stage !== "completed") completed.delete(uid);
          else if (!completed.has(uid)) {
            completed.add(uid);
            freed();
          }
        }),
      ];
      look(signal);
    },
    async end() {
      ended = true;
      for (const stop of stops) stop();
      clock.clearTimeout(timer);
      await current;
    },
  };
}

function noteOf(problem: Problem): ClaimNote {
  const [namespace = "", name = ""] = (problem.object ?? "").replace(/^\S+ /, "").split("/");
  return { namespace, name, type: "Warning", reason: "VolumeCantShrink", message: formatProblem(problem) };
}

function eventOf(note: ClaimNote, at: number): NewEvent {
  const { namespace, name, type, reason, message } = note;
  return { object: `PersistentVolumeClaim/${namespace}/${name}`, podUid: undefined, type, reason, message, at };
}
