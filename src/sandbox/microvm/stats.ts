import { GantryError } from "../../system/errors.ts";
import type { ContainerStats } from "../driver.ts";
import { noSuchContainer } from "./container.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import { parseStats } from "./protocol/index.ts";

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
  return {
    timestamp: ctx.clock.now(),
    cpuUsageNs: own["cpu-ns"],
    memoryBytes: own["memory-bytes"],
    processes: own.processes,
  };
}
