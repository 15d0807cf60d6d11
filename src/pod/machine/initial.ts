import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { ContainerFacts, PodFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import { adoptContainers, adoptPod } from "../rules/adopt.ts";
import type { PodContext } from "./context.ts";
import type { PodEnv } from "./env.ts";

export interface Adoption {
  readonly env: PodEnv;
  readonly desired: DesiredPod;
  readonly uid: string;
  /** What the store remembers of it. */
  readonly stored: PodFacts | undefined;
  readonly containers: readonly ContainerFacts[];
  /** What the drivers report of it. */
  readonly observed: readonly ObservedSandbox[];
  readonly now: number;
}

/** Where a machine begins: at the beginning of a new pod, or in the middle of one that is taken over. */
export function initialContext({ env, desired, uid, stored, containers, observed, now }: Adoption): PodContext {
  return {
    env,
    desired,
    pod: adoptPod(desired, uid, stored, observed, now),
    facts: adoptContainers(uid, containers, observed),
    known: observed,
    jobs: {},
    seq: 0,
    touched: {},
    unsure: [],
    missed: [],
    lookWanted: false,
    lookSeq: 0,
    // Configuration may have changed while nobody was there to see it.
    refreshWanted: stored !== undefined && observed.length > 0,
    pruneWanted: false,
    dead: [],
    hooked: [],
    checking: false,
    restartWanted: [],
    holds: {},
    pulling: {},
    problem: undefined,
    retry: undefined,
    retries: {},
    shutdownDeadline: undefined,
    killAtOnce: false,
    losses: 0,
    usageCheckedAt: now,
    released: false,
    tailed: {},
  };
}
