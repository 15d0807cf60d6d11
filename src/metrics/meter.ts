/** How much CPU and memory pods and the node use. Measured only when somebody asks. */
import type { ContainerState, PodState } from "../pod/contract.ts";
import type { ContainerStats, SandboxDriver } from "../sandbox/driver.ts";
import type { Clock } from "../system/clock.ts";
import { cpuNsOf, memoryOf } from "./host.ts";

export interface ResourceUsage {
  /** Billionths of a core: ns of CPU time per second. */
  readonly cpuNano: number;
  /** The working set. */
  readonly memoryBytes: number;
}

export interface Metrics {
  /** The end of the window, ms since the epoch. */
  readonly at: number;
  readonly windowMs: number;
  readonly node: ResourceUsage & { readonly name: string };
  /** Those with a container that runs. */
  readonly pods: readonly {
    readonly namespace: string;
    readonly name: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly containers: readonly (ResourceUsage & { readonly name: string })[];
  }[];
}

export interface MeterParts {
  readonly pods: () => readonly PodState[];
  readonly driverFor: (runtimeClass: string) => SandboxDriver;
  /** Of files of /proc. */
  readonly read: (path: string) => string;
  readonly node: string;
  readonly clock: Clock;
}

/** CPU time is compared with what it was at least this long ago … ms */
const LEAST_WINDOW_MS = 1000;
/** … and at most: beyond that it would tell what was, not what is. */
const LONGEST_WINDOW_MS = 60_000;

interface Sample {
  readonly at: number;
  readonly nodeCpuNs: number;
  readonly nodeMemoryBytes: number;
  /** By container id. */
  readonly containers: ReadonlyMap<string, ContainerStats>;
}

/**
 * Measures whatever runs. Who asks again within a minute gets the use since the last answer, whoever asks for the first
 * time waits a second; all who wait get the same answer.
 */
export function createMeter(parts: MeterParts): () => Promise<Metrics> {
  const { clock } = parts;
  let last: Sample | undefined;
  let answer: Metrics | undefined;
  let pending: Promise<Metrics> | undefined;

  const measure = async (): Promise<Metrics> => {
    const ageMs = last === undefined ? Number.POSITIVE_INFINITY : clock.now() - last.at;
    if (answer !== undefined && ageMs >= 0 && ageMs < LEAST_WINDOW_MS) return answer;
    const usable = ageMs >= 0 && ageMs <= LONGEST_WINDOW_MS ? last : undefined;
    const before = usable ?? (await sample(parts));
    if (usable === undefined) await wait(clock, LEAST_WINDOW_MS);
    const now = await sample(parts);
    last = now;
    answer = metricsOf(parts, before, now);
    return answer;
  };

  return () => {
    pending ??= measure().finally(() => {
      pending = undefined;
    });
    return pending;
  };
}

/** What each running container uses, by its id. */
export async function statsOfAll({
  pods,
  driverFor,
}: Pick<MeterParts, "pods" | "driverFor">): Promise<Map<string, ContainerStats>> {
  const containers = new Map<string, ContainerStats>();
  await Promise.all(
    pods().flatMap(({ sandbox, desired, containers: all }) =>
      runningIn(all).map(async ({ id }) => {
        if (sandbox === undefined) return;
        // One that has just ended, or whose virtual machine does not answer, is left out.
        const stats = await driverFor(desired.runtimeClass)
          .stats(sandbox.id, id)
          .catch(() => undefined);
        if (stats !== undefined) containers.set(id, stats);
      }),
    ),
  );
  return containers;
}

async function sample(parts: MeterParts): Promise<Sample> {
  const { read, clock } = parts;
  const containers = await statsOfAll(parts);
  const { totalBytes, availableBytes } = memoryOf(read("/proc/meminfo"));
  return {
    at: clock.now(),
    nodeCpuNs: cpuNsOf(read("/proc/stat")),
    nodeMemoryBytes: totalBytes - availableBytes,
    containers,
  };
}

function metricsOf({ pods, node }: MeterParts, before: Sample, now: Sample): Metrics {
  const windowMs = Math.max(1, now.at - before.at);
  return {
    at: now.at,
    windowMs,
    node: {
      name: node,
      cpuNano: perSecond(now.nodeCpuNs - before.nodeCpuNs, windowMs),
      memoryBytes: now.nodeMemoryBytes,
    },
    pods: pods().flatMap(({ desired, containers }) => {
      const { namespace, name, labels = {} } = desired.pod.metadata;
      const used = runningIn(containers).flatMap((container) => {
        const stats = now.containers.get(container.id);
        if (stats === undefined) return [];
        // One that started meanwhile had used nothing before its start.
        const base = before.containers.get(container.id) ?? { timestamp: container.startedAt, cpuUsageNs: 0 };
        const cpuNano = perSecond(stats.cpuUsageNs - base.cpuUsageNs, stats.timestamp - base.timestamp);
        return [{ name: container.name, cpuNano, memoryBytes: stats.memoryBytes }];
      });
      return used.length === 0 ? [] : [{ namespace, name, labels, containers: used }];
    }),
  };
}

export function runningIn(containers: readonly ContainerState[]) {
  return containers.flatMap(({ name, state }) =>
    state.type === "running" ? [{ name, id: state.containerId, startedAt: state.startedAt }] : [],
  );
}

function perSecond(ns: number, ms: number): number {
  return Math.max(0, Math.round((ns * 1000) / Math.max(1, ms)));
}

function wait(clock: Clock, ms: number): Promise<void> {
  return new Promise((resolve) => clock.setTimeout(resolve, ms));
}
