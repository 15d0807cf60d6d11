import { type Candidate, evictionMessage, isTurnedAway, ranked, resourceOf } from "../eviction/rank.ts";
import {
  conditionNames,
  isMemory,
  noPressure,
  type Observations,
  type Pressure,
  type PressureSettings,
  pressureAfter,
  type Signal,
  thresholdOf,
} from "../eviction/thresholds.ts";
import type { Pod } from "../manifest/index.ts";
import { runningIn } from "../metrics/meter.ts";
import type { PodState, PodSupervisor } from "../pod/contract.ts";
import { totalUsage } from "../pod/rules/ephemeral.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import type { NewEvent } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface PressureParts {
  readonly settings: PressureSettings;
  readonly intervalMs: number;
  readonly observe: () => Promise<Observations>;
  /** Asked for when it is needed: it asks back whether pods may start. */
  readonly supervisor: () => PodSupervisor;
  readonly driverFor: (runtimeClass: string) => SandboxDriver;
  readonly event: (event: NewEvent) => void;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface PressureKeeper {
  now(): Pressure;
  /** Why this pod may not start now, as a sentence. */
  refuses(pod: Pod): string | undefined;
  /** Looks once, and only looks. */
  look(): Promise<void>;
  /** From now on looks at intervals, and does something about it. @param collect frees the disks of what nobody needs */
  begin(collect: () => Promise<unknown>): void;
  end(): void;
}

/** How long a pod that was evicted may take to be gone before the next look. ms */
const GONE_WITHIN_MS = 30_000;

/**
 * Watches the node's memory and disks. When one runs short: frees what nobody needs, then evicts pods, one at a time,
 * and looks again before the next. Meanwhile new pods wait, as `isTurnedAway` says.
 */
export function keepPressure(parts: PressureParts): PressureKeeper {
  const { clock, log, settings } = parts;
  let pressure = noPressure(clock.now());
  let seen: Observations = {};
  let timer: TimerHandle | undefined;
  let ended = false;

  const tell = (type: NewEvent["type"], reason: string, message: string): void =>
    parts.event({ object: `Node/${parts.node}`, podUid: undefined, type, reason, message, at: clock.now() });

  const look = async (): Promise<void> => {
    seen = await parts.observe();
    const before = pressure;
    pressure = pressureAfter(before, seen, settings, clock.now());
    for (const [was, is, yes, no] of [
      [before.memory, pressure.memory, "NodeHasInsufficientMemory", "NodeHasSufficientMemory"],
      [before.disk, pressure.disk, "NodeHasDiskPressure", "NodeHasNoDiskPressure"],
    ] as const) {
      if (was.holds === is.holds) continue;
      tell(
        is.holds ? "Warning" : "Normal",
        is.holds ? yes : no,
        `Node ${parts.node} status is now: ${is.holds ? yes : no}`,
      );
    }
  };

  const first = (): Signal | undefined => [...pressure.met][0]; // memory comes first

  /** @returns whether somebody was evicted */
  const relieve = async (collect: () => Promise<unknown>): Promise<boolean> => {
    await look();
    parts.supervisor().pressureSeen();
    let signal = first();
    if (signal !== undefined && !isMemory(signal)) {
      await collect();
      await look();
      signal = first();
    }
    const observation = signal === undefined ? undefined : seen[signal];
    if (signal === undefined || observation === undefined || ended) return false;
    const resource = resourceOf(signal);
    const [victim] = ranked(await candidates(parts, resource), resource);
    tell("Warning", "EvictionThresholdMet", `Attempting to reclaim ${resource}`);
    if (victim === undefined) {
      log.warn({ resource }, "the node is under pressure, and there is no pod to evict");
      return false;
    }
    const message = evictionMessage(victim, resource, thresholdOf(signal, observation, settings), observation);
    log.warn({ uid: victim.uid, pod: victim.pod.metadata.name, resource }, "evicting a pod");
    parts.supervisor().evict(victim.uid, message);
    await gone(parts, victim.uid);
    return true;
  };

  const later = (collect: () => Promise<unknown>, ms: number): void => {
    if (ended) return;
    timer = clock.setTimeout(() => {
      relieve(collect)
        .catch((error: unknown) => {
          log.warn({ reason: messageOf(error) }, "looking for pressure failed; trying again later");
          return false;
        })
        .then((evicted) => later(collect, evicted ? 0 : parts.intervalMs));
    }, ms);
  };

  return {
    now: () => pressure,
    refuses(pod) {
      if (!isTurnedAway(pod, pressure)) return undefined;
      return `The node had condition: [${conditionNames(pressure).join(", ")}]; the pod starts when that is over.`;
    },
    look,
    begin: (collect) => later(collect, pressure.met.size > 0 ? 0 : parts.intervalMs),
    end() {
      ended = true;
      clock.clearTimeout(timer);
    },
  };
}

/** Pods that run, with what they use. One that can't be measured now is taken to use nothing. */
async function candidates(
  { supervisor, driverFor }: PressureParts,
  resource: ReturnType<typeof resourceOf>,
): Promise<Candidate[]> {
  const running = supervisor()
    .list()
    .filter(
      ({ sandbox, failure, deletionDeadline }) =>
        sandbox !== undefined && failure === undefined && deletionDeadline === undefined,
    );
  return await Promise.all(
    running.map(async (state): Promise<Candidate> => {
      const { uid, desired } = state;
      if (resource === "memory") {
        const driver = driverFor(desired.runtimeClass);
        const [whole, containers] = await Promise.all([
          driver.podStats(state.sandbox?.id ?? "").catch(() => undefined),
          memoryByContainer(state, driver),
        ]);
        return { uid, pod: desired.pod, used: whole?.memoryBytes ?? 0, containers };
      }
      const unit = resource === "inodes" ? "inodes" : "bytes";
      const usage = await supervisor()
        .diskUsage(uid, unit)
        .catch(() => undefined);
      const used = usage === undefined ? 0 : totalUsage(usage);
      return { uid, pod: desired.pod, used, containers: usage?.containers ?? {} };
    }),
  );
}

async function memoryByContainer(
  { sandbox, containers }: PodState,
  driver: SandboxDriver,
): Promise<Record<string, number>> {
  const used = await Promise.all(
    runningIn(containers).map(async ({ name, id }): Promise<[string, number][]> => {
      if (sandbox === undefined) return [];
      const stats = await driver.stats(sandbox.id, id).catch(() => undefined);
      return stats === undefined ? [] : [[name, stats.memoryBytes]];
    }),
  );
  return Object.fromEntries(used.flat());
}

/** Resolves when all that the pod took is given back, or that takes too long. */
function gone({ supervisor, clock }: PressureParts, uid: string): Promise<void> {
  return new Promise((resolve) => {
    const isGone = (): boolean => {
      const state = supervisor().get(uid);
      return state === undefined || (state.stage === "completed" && state.released === true);
    };
    const done = (): void => {
      unsubscribe();
      clock.clearTimeout(limit);
      resolve();
    };
    const limit = clock.setTimeout(done, GONE_WITHIN_MS);
    const unsubscribe = supervisor().subscribe((change) => {
      if (change.uid === uid && isGone()) done();
    });
    if (isGone()) done();
  });
}
