/** Containers that were paused, or whose limits were changed, by somebody else. */
import { readFile } from "node:fs/promises";
import { setImmediate } from "node:timers/promises";
import { z } from "zod";
import { type LimitFile, limitFiles, mendFreeze, mendLimits } from "../cgroup/mend.ts";
import type { ContainerResources, Mended } from "../driver.ts";
import type { Context } from "./context.ts";
import { containerFiles, podCgroup, sandboxFiles } from "./dirs.ts";
import type { SandboxRecord } from "./records.ts";

/** After so many sandboxes whatever else waits has its turn. */
const SLICE = 50;

/** What of config.json says what a container may use (OCI runtime specification, config-linux.md). */
const bundle = z.object({
  linux: z.object({
    resources: z.object({
      cpu: z.object({ shares: z.number(), quota: z.number(), period: z.number() }).partial().optional(),
      memory: z.object({ limit: z.number() }).partial().optional(),
      pids: z.object({ limit: z.number() }).partial().optional(),
    }),
  }),
});

export function createMender(ctx: Context): () => Promise<readonly Mended[]> {
  /** By container; what it may use never changes. */
  let limits = new Map<string, readonly LimitFile[]>();

  const limitsOf = async (path: string): Promise<readonly LimitFile[]> => {
    const { linux } = bundle.parse(JSON.parse(await readFile(path, "utf8")));
    const { cpu, memory, pids } = linux.resources;
    const resources: ContainerResources = {
      ...(cpu?.shares !== undefined && { cpuShares: cpu.shares }),
      ...(cpu?.quota !== undefined && { cpuQuotaUs: cpu.quota }),
      ...(cpu?.period !== undefined && { cpuPeriodUs: cpu.period }),
      ...(memory?.limit !== undefined && { memoryLimitBytes: memory.limit }),
      ...(pids?.limit !== undefined && { pidsLimit: pids.limit }),
    };
    return limitFiles(resources, ctx.cgroups, true);
  };

  const mendSandbox = async (
    { config }: SandboxRecord,
    known: Map<string, readonly LimitFile[]>,
  ): Promise<string[]> => {
    const path = podCgroup(ctx.dirs, config.pod.uid);
    const said = [
      ...(mendFreeze(ctx.cgroups, path) ? ["it was paused by hand; it goes on"] : []),
      ...mendLimits(ctx.cgroups, path, limitFiles(config.resources, ctx.cgroups, false)),
    ].map((what) => `of the pod as a whole: ${what}`);
    for (const id of ctx.folders.entries(sandboxFiles(ctx.dirs, config.id).containers)) {
      const files = containerFiles(ctx.dirs, config.id, id);
      const record = await ctx.records.container(files.record).catch(() => undefined);
      if (record?.startedAt === undefined || record.bootId !== ctx.bootId) continue;
      const wanted = limits.get(id) ?? (await limitsOf(files.spec).catch(() => undefined));
      if (wanted === undefined) continue;
      known.set(id, wanted);
      const cgroup = `${path}/${id}`;
      const paused = mendFreeze(ctx.cgroups, cgroup) ? ["it was paused by hand; it goes on"] : [];
      said.push(
        ...[...paused, ...mendLimits(ctx.cgroups, cgroup, wanted)].map((what) => `container ${record.name}: ${what}`),
      );
    }
    return said;
  };

  return async () => {
    const mended: Mended[] = [];
    const known = new Map<string, readonly LimitFile[]>();
    for (const [index, id] of ctx.folders.entries(ctx.dirs.sandboxes).entries()) {
      if (index % SLICE === SLICE - 1) await setImmediate();
      const record = await ctx.records.sandbox(sandboxFiles(ctx.dirs, id).record).catch(() => undefined);
      if (record?.phase !== "ready" || record.bootId !== ctx.bootId) continue;
      for (const what of await mendSandbox(record, known)) mended.push({ sandboxId: id, what });
    }
    limits = known;
    return mended;
  };
}
