import { rename } from "node:fs/promises";
import { messageOf } from "../../../system/errors.ts";
import { type BootedVm, clearVm } from "../boot-vm.ts";
import type { Context } from "../context.ts";
import { sandboxFiles } from "../dirs.ts";
import { handOverVmId } from "../jail/ids.ts";
import type { SandboxRecord } from "../records.ts";
import { untilAgentAnswers } from "../up.ts";
import { destroyStandby, type Standby } from "./build.ts";

/**
 * Makes the directory of a standby VM that of a sandbox; they appear together with its record. What runs in it, and what
 * is mounted in it, goes along. Where that fails, the VM goes.
 */
export async function adoptDirectory(ctx: Context, standby: Standby, draft: SandboxRecord): Promise<void> {
  const [from, to] = [sandboxFiles(ctx.dirs, standby.id), sandboxFiles(ctx.dirs, draft.config.id)];
  try {
    await ctx.records.save(from.record, draft);
    await rename(from.root, to.root);
  } catch (error) {
    await destroyStandby(ctx, standby);
    throw error;
  }
  await handOverVmId(standby.uid, from.root, to.root);
  ctx.records.forget(from.root);
}

/** Far more than it takes: it has answered before. */
const ANSWER_MS = 5000;

/** Lets a standby VM go on, in its sandbox's directory. @returns undefined when it does not come to life: it is gone then */
export async function wake(
  ctx: Context,
  id: string,
  { process, boot }: Standby,
  signal: AbortSignal,
): Promise<BootedVm | undefined> {
  const started = performance.now();
  const machine = ctx.machines.get(id);
  const limits = { process, files: sandboxFiles(ctx.dirs, id), timeoutMs: ANSWER_MS };
  try {
    await untilAgentAnswers(
      limits,
      async (limit) => {
        await (await machine.qmp(limit)).run("cont");
        await machine.guest.link(limit, "cloned");
      },
      signal,
    );
  } catch (error) {
    await clearVm(ctx, id);
    if (signal.aborted) throw error;
    ctx.log.warn({ sandbox: id, reason: messageOf(error) }, "a micro-VM on standby does not work; making another");
    return undefined;
  }
  return { process, boot: { ...boot, how: "standby", ms: Math.round(performance.now() - started) } };
}
