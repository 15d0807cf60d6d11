import { existsSync } from "node:fs";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { killQemus, lastWords } from "./qemu/process.ts";
import type { EndRecord, SandboxRecord } from "./records.ts";
import { isRunning } from "./sandbox.ts";

/**
 * When and why a VM that should run has ended: written down by whoever sees it first, the same for all who ask later.
 * Undefined while it runs, or when it was stopped on purpose.
 */
export async function endOf(ctx: Context, sandbox: SandboxRecord): Promise<EndRecord | undefined> {
  if (sandbox.phase !== "ready" || sandbox.bootId !== ctx.bootId || isRunning(ctx, sandbox)) return undefined;
  const files = sandboxFiles(ctx.dirs, sandbox.config.id);
  const known = await ctx.records.end(files.end).catch(() => undefined);
  if (known !== undefined) return known;
  const said = panicIn(await lastWords(files.console)) ?? (await lastWords(files.log));
  const reason = said === "" ? "QEMU ended and said nothing; it may have been killed" : said;
  ctx.machines.drop(sandbox.config.id);
  return await write(ctx, sandbox.config.id, reason);
}

/** Ends a VM whose agent does not answer any more. */
export async function endSilentVm(ctx: Context, id: string): Promise<void> {
  await write(ctx, id, "the agent in the micro-VM did not answer any more");
  await killQemus(sandboxFiles(ctx.dirs, id).root);
}

async function write(ctx: Context, id: string, reason: string): Promise<EndRecord> {
  const files = sandboxFiles(ctx.dirs, id);
  const end = { at: ctx.clock.now(), reason };
  // It may be removed at this very moment.
  if (existsSync(files.root)) await ctx.records.save(files.end, end).catch(() => {});
  return end;
}

function panicIn(text: string): string | undefined {
  const panic = /Kernel panic - not syncing: [^·\r\n]*/.exec(text)?.[0];
  return panic?.trim() ?? (text === "" ? undefined : text);
}
