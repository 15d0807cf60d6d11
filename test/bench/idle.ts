import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { eventually } from "../e2e/harness/eventually.ts";
import type { TestHost } from "../e2e/harness/host.ts";
import { type Bench, gone, ready } from "./context.ts";
import { comparisons } from "./daemon-log.ts";
import type { Figure } from "./figures.ts";
import { sleepingPod } from "./pods.ts";
import { cpuSeconds } from "./proc.ts";
import { median } from "./stats.ts";

const IDLE_PODS = 50;
const IDLE_SECONDS = 20;

export interface IdleOptions {
  /** Pods of the full comparison. */
  readonly manifests: number;
}

/** What it costs when nothing happens: CPU and memory of the daemon, then a full comparison of many manifests. */
export async function benchIdle(bench: Bench, options: IdleOptions): Promise<Figure[]> {
  const { host, say } = bench;
  await grow(bench, 0, IDLE_PODS);
  // What the start of the pods set off has ended by then: also the collection after a burst, 5 s after its last change.
  await sleep(8_000);
  const before = cpuSeconds(daemonPid(host));
  await sleep(IDLE_SECONDS * 1000);
  const share = ((cpuSeconds(daemonPid(host)) - before) / IDLE_SECONDS) * 100;
  const rss = residentMiB(host);
  say(`idle with ${IDLE_PODS} pods: ${share.toFixed(2)} % CPU, ${rss.toFixed(0)} MiB`);

  await grow(bench, IDLE_PODS, options.manifests);
  const since = Date.now();
  const taken = await eventually(
    () => {
      const all = comparisons(host, since);
      return all.length >= 5 && all;
    },
    { what: "five full comparisons", deadlineMs: 120_000 },
  );
  const names = Array.from({ length: options.manifests }, (_, index) => nameOf(index));
  for (const name of names) host.remove(`${name}.yaml`);
  await Promise.all(names.map((name) => bench.watch.when(name, gone, "gone", 20 * 60_000)));
  return [
    {
      id: "idle.cpu",
      what: `idle daemon with ${IDLE_PODS} pods: CPU`,
      value: share,
      unit: "%",
      limit: { at: "most", value: 1 },
      note: `of a core, over ${IDLE_SECONDS} s`,
    },
    {
      id: "idle.rss",
      what: `idle daemon with ${IDLE_PODS} pods: RSS`,
      value: rss,
      unit: "MiB",
      limit: { at: "most", value: 120 },
    },
    {
      id: "idle.compare",
      what: `full comparison of ${options.manifests} manifests, nothing to do`,
      value: median(taken.map(({ ms }) => ms)),
      unit: "ms",
      limit: { at: "most", value: 100 },
      note: `median of ${taken.length}, all their pods running; CPU time ${Math.round(median(taken.map(({ cpuMs }) => cpuMs)))} ms`,
    },
  ];
}

const nameOf = (index: number): string => `idle-${index}`;

async function grow({ host, watch, say }: Bench, from: number, to: number): Promise<void> {
  const names = Array.from({ length: Math.max(0, to - from) }, (_, index) => nameOf(from + index));
  const begun = performance.now();
  for (const name of names) host.write(`${name}.yaml`, sleepingPod(name));
  await Promise.all(names.map((name) => watch.when(name, ready, "Ready", 20 * 60_000)));
  say(`${to} sleeping pods run (${Math.round(performance.now() - begun)} ms)`);
}

function residentMiB(host: TestHost): number {
  const status = readFileSync(`/proc/${daemonPid(host)}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) / 1024;
}

function daemonPid({ daemon }: TestHost): number {
  if (daemon === undefined) throw new Error("no daemon runs");
  return daemon.pid;
}
