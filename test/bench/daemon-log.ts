import { z } from "zod";
import type { TestHost } from "../e2e/harness/host.ts";

/** The fields that the bench reads of the lines that the daemon logs at level debug. */
const Line = z.object({
  time: z.number(),
  msg: z.string(),
  pod: z.unknown().optional(),
  source: z.unknown().optional(),
  ms: z.unknown().optional(),
  cpuMs: z.unknown().optional(),
});
type Line = z.infer<typeof Line>;

function lines(host: TestHost): Line[] {
  return (host.daemon?.log() ?? "").split("\n").flatMap((text) => {
    if (!text.startsWith("{")) return []; // a line for people
    try {
      return [Line.parse(JSON.parse(text))];
    } catch {
      return []; // the last one, half written
    }
  });
}

/** By pod: when the daemon first began to reconcile it, ms since the epoch. */
export function firstReconciles(host: TestHost): Map<string, number> {
  const first = new Map<string, number>();
  for (const { time, msg, pod } of lines(host)) {
    if (msg === "reconcile" && typeof pod === "string" && !first.has(pod)) first.set(pod, time);
  }
  return first;
}

/** How many micro-VMs have been put on standby so far. */
export function standbys(host: TestHost): number {
  return lines(host).filter(({ msg }) => msg === "a micro-VM is on standby").length;
}

export interface Comparison {
  readonly ms: number;
  readonly cpuMs: number;
}

/** How long each full comparison since `since` (ms since the epoch) took, and how much CPU time. */
export function comparisons(host: TestHost, since: number): Comparison[] {
  return lines(host).flatMap(({ time, msg, ms, cpuMs }) =>
    msg === "compared" && time >= since && typeof ms === "number" && typeof cpuMs === "number" ? [{ ms, cpuMs }] : [],
  );
}

/** How long each of these steps of a Git source took, ms. */
export function sourceTimes(host: TestHost, step: string, source: string): number[] {
  return lines(host).flatMap((line) =>
    line.msg === step && line.source === source && typeof line.ms === "number" ? [line.ms] : [],
  );
}
