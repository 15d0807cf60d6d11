/** What a pod's machine knows. Plain data, replaced and never changed; the store holds the facts among it. */
import type { ObservedSandbox } from "../../sandbox/driver.ts";
import type { PodFacts } from "../../store/contract.ts";
import type { DesiredPod } from "../contract.ts";
import type { Hold } from "../rules/container-state.ts";
import { toMeasure } from "../rules/ephemeral.ts";
import type { FactsByName } from "../rules/exits.ts";
import { type Outlook, outlookOf } from "../rules/outlook.ts";
import { type Slot, slotsOf } from "../rules/slots.ts";
import { currentSandbox } from "../rules/world.ts";
import type { PodEnv } from "./env.ts";

export interface Retry {
  readonly failures: number;
  /** ms since the epoch */
  readonly until: number;
}

export interface PodContext {
  readonly env: PodEnv;
  readonly desired: DesiredPod;
  readonly pod: PodFacts;
  readonly facts: FactsByName;
  /** The sandboxes of this pod uid, as last believed. */
  readonly known: readonly ObservedSandbox[];
  /** Work in flight besides the state's own, by key: "c/<container>", "look", "cleanup" … */
  readonly jobs: Readonly<Record<string, { readonly id: string }>>;
  /** Counts what we do, to tell whether a look was begun before or after it. */
  readonly seq: number;
  /** By container name: when it was last worked on. */
  readonly touched: Readonly<Record<string, number>>;
  /** Containers of which a failed call left us in the dark: nothing is started before the next look. */
  readonly unsure: readonly string[];
  /** Containers that were reported to have ended while they were worked on: looked at once that is over. */
  readonly missed: readonly string[];
  readonly lookWanted: boolean;
  readonly lookSeq: number;
  readonly refreshWanted: boolean;
  readonly pruneWanted: boolean;
  /** Ids of containers that a stop has ended, though no report says so yet. */
  readonly dead: readonly string[];
  /** Ids of containers whose preStop hook was run while the pod ends. */
  readonly hooked: readonly string[];
  /** True while anything of this pod is probed. */
  readonly checking: boolean;
  readonly restartWanted: readonly string[];
  readonly holds: Readonly<Record<string, Hold>>;
  /** By container name: how far the pull of its image is, for people. */
  readonly pulling: Readonly<Record<string, string>>;
  /** What keeps the pod as a whole from getting on. */
  readonly problem: { readonly reason: string; readonly message: string } | undefined;
  /** Of the state's own work. */
  readonly retry: Retry | undefined;
  /** Of jobs, by key. */
  readonly retries: Readonly<Record<string, Retry>>;
  /** When the grace of a shutdown that is not a deletion ends. */
  readonly shutdownDeadline: number | undefined;
  readonly killAtOnce: boolean;
  /** Sandboxes in a row that were lost soon after they were made. */
  readonly losses: number;
  readonly usageCheckedAt: number;
  /** Of an evicted pod: what it had on disk is gone. */
  readonly released: boolean;
  /** By container name: the run whose log tail was read. */
  readonly tailed: Readonly<Record<string, number>>;
}

/** The reason of a pod that was sent away for what it took of the node. */
export const EVICTED = "Evicted";

/** How often what a pod has on disk is measured against its limits, ms. */
export const USAGE_INTERVAL_MS = 10_000;

export function slotsIn(context: PodContext): readonly Slot[] {
  return slotsOf(context.desired);
}

export function outlookIn(context: PodContext, now: number): Outlook {
  const held = (name: string): boolean => (context.holds[name]?.until ?? 0) > now;
  return outlookOf(slotsIn(context), context.facts, context.known, now, held);
}

export function isBusy(context: PodContext, name: string): boolean {
  return context.jobs[`c/${name}`] !== undefined;
}

/** All containers are being stopped, for the pod's deletion or because it has ended. */
export function isShuttingDown({ pod, shutdownDeadline }: PodContext): boolean {
  return pod.deletionDeadline !== undefined || shutdownDeadline !== undefined;
}

/** It was sent away: nothing of it has any grace. */
export function isEvicted({ pod }: PodContext): boolean {
  return pod.failure?.reason === EVICTED;
}

export type Route = "stopping" | "completing" | "completed" | "resetting" | "preparing" | "running";

/** Which state this pod belongs in, from what is known alone. */
export function routeOf(context: PodContext, now: number): Route {
  if (context.pod.deletionDeadline !== undefined) return "stopping";
  const sandbox = currentSandbox(context.known);
  const running = context.known.some(({ containers }) => containers.some(({ state }) => state === "running"));
  if (context.pod.failure !== undefined || outlookIn(context, now).complete) {
    return sandbox !== undefined || running ? "completing" : "completed";
  }
  if (sandbox !== undefined) return "running";
  return context.known.length > 0 ? "resetting" : "preparing";
}

/** When the pod has been active for as long as its spec allows, ms since the epoch. */
export function activeDeadline({ desired, pod }: PodContext): number | undefined {
  const seconds = desired.pod.spec.activeDeadlineSeconds;
  return seconds === undefined ? undefined : pod.createdAt + seconds * 1000;
}

/** The next moment at which something falls due without anything else happening, ms since the epoch. */
export function wakeAt(context: PodContext, now: number): number | undefined {
  const deletion = context.pod.deletionDeadline;
  const times = [
    ...Object.values(context.facts).map(({ backoffUntil }) => backoffUntil),
    ...Object.values(context.holds).map(({ until }) => until),
    ...Object.values(context.retries).map(({ until }) => until),
    context.retry?.until,
    context.pod.failure === undefined ? activeDeadline(context) : undefined,
    deletion ?? context.shutdownDeadline,
    measuresUsage(context.desired) ? context.usageCheckedAt + USAGE_INTERVAL_MS : undefined,
  ].filter((time) => time !== undefined && time > now);
  return times.length === 0 ? undefined : Math.min(...times.map(Number));
}

/** True when the pod has a limit of what it may have on disk, which only measuring can enforce. */
export function measuresUsage({ pod }: DesiredPod): boolean {
  return toMeasure(pod) !== undefined;
}
