import type { Context } from "./context.ts";
import { containerFiles, sandboxFiles } from "./dirs.ts";
import { slotUses } from "./list.ts";
import { logTo } from "./qemu/devices.ts";
import { isRunning } from "./sandbox.ts";
import { freeLogPort } from "./slots.ts";

const NEVER: AbortSignal = new AbortController().signal;

/**
 * Has a container go on in a new log file. It changes to another port, since only the agent knows where one line ends:
 * when it has answered, all that was before is in the old file. One that has ended writes no more: fine.
 */
export async function reopenLog(ctx: Context, sandboxId: string, id: string): Promise<void> {
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record);
  const file = containerFiles(ctx.dirs, sandboxId, id).record;
  const record = await ctx.records.container(file);
  if (!sandbox || !record || !isRunning(ctx, sandbox)) return;
  const used = await slotUses(ctx, sandbox);
  if (used.find((use) => use.id === id)?.ended !== false) return;
  const machine = ctx.machines.get(sandboxId);
  const controls = { qmp: await machine.qmp(NEVER), jailer: sandboxFiles(ctx.dirs, sandboxId).jailer };
  const spare = freeLogPort(sandbox.shape, used);
  if (spare === undefined) {
    await logTo(controls, record.logPort, record.logPath); // no port to change to: a line may be cut in two
    return;
  }
  await logTo(controls, spare, record.logPath);
  // Noted first: should we die now, the next to ask changes it again.
  await ctx.records.save(file, { ...record, logPort: spare });
  await machine.guest.request({ type: "log", body: { container: id, logPort: spare } }, NEVER);
}
