import type { DiskUnit } from "../../system/disk-usage.ts";
import { GantryError, isGantryError } from "../../system/errors.ts";
import type { ContainerStats, SandboxDiskUsage } from "../driver.ts";
import { isRefusal } from "./channel/push.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import { parseStats, parseUsage } from "./protocol/index.ts";
import { isRunning } from "./sandbox.ts";

const STATS_TIMEOUT_MS = 5000;

/** See SandboxDriver.stats. */
export async function readStats(ctx: Context, sandboxId: string, id: string): Promise<ContainerStats> {
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record).catch(() => undefined);
  const container = sandbox ? await observeContainer(ctx, sandbox, id) : undefined;
  if (!sandbox || !container) throw noSuchContainer(sandboxId, id);
  const { guest } = ctx.machines.get(sandboxId);
  const running = container.state === "running";
  const limit = AbortSignal.timeout(STATS_TIMEOUT_MS);
  const all = running ? parseStats(await guest.request({ type: "stats", body: null }, limit)) : [];
  const own = all.find((each) => each.container === id);
  if (own === undefined) throw new GantryError("not-found", `container ${id} is not running`);
  const { "usage-bytes": usage, "rss-bytes": rss, "cache-bytes": cache, periods } = own;
  return {
    timestamp: ctx.clock.now(),
    cpuUsageNs: own["cpu-ns"],
    memoryBytes: own["memory-bytes"],
    ...(usage !== undefined && { memoryUsageBytes: usage }),
    ...(rss !== undefined && { memoryRssBytes: rss }),
    ...(cache !== undefined && { memoryCacheBytes: cache }),
    processes: own.processes,
    ...(periods > 0 && {
      throttling: { periods, throttledPeriods: own["throttled-periods"], throttledNs: own["throttled-ns"] },
    }),
  };
}

/** See SandboxDriver.diskUsage. A VM that cannot say is asked again the next time. */
export async function readUsage(ctx: Context, sandboxId: string, unit: DiskUnit): Promise<SandboxDiskUsage> {
  const nothing = { volumes: new Map(), containers: new Map() };
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record).catch(() => undefined);
  if (!sandbox || !isRunning(ctx, sandbox) || ctx.machines.silent(sandboxId)) return nothing;
  const { guest } = ctx.machines.get(sandboxId);
  try {
    const answer = await guest.request({ type: "usage", body: null }, AbortSignal.timeout(STATS_TIMEOUT_MS));
    return parseUsage(answer, unit);
  } catch (error) {
    // An agent of an earlier version does not know the question.
    if (isRefusal(error) || isGantryError(error)) return nothing;
    throw error;
  }
}
