import { setTimeout as sleep } from "node:timers/promises";
import { GantryError } from "../../system/errors.ts";
import { isAlive, type ProcessId } from "../namespace/proc.ts";
import { lastWords } from "./qemu/process.ts";

export interface UpOptions {
  readonly process: ProcessId;
  readonly files: { readonly log: string; readonly console: string };
  readonly timeoutMs: number;
}

const ALIVE_POLL_MS = 50;

/**
 * Runs `work`, which waits for a VM that comes up, but no longer than `timeoutMs` or until QEMU ends.
 * @throws GantryError runtime-failed with the guest's last words, timeout, cancelled
 */
export async function untilAgentAnswers(
  { process, files, timeoutMs }: UpOptions,
  work: (limit: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const limit = AbortSignal.any([signal, over.signal, AbortSignal.timeout(timeoutMs)]);
  const working = work(limit);
  working.catch(() => {}); // QEMU's end says more than what it breaks
  try {
    await Promise.race([
      working.catch((error: unknown) => whyItFailed(error, process, files)),
      untilDead(process, files, over.signal),
    ]);
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    throw new GantryError("timeout", `the micro-VM did not come up within ${timeoutMs} ms`, {
      kind: "system",
      hint: "The host may be very busy; Gantry tries again by itself.",
      details: { console: await lastWords(files.console) },
    });
  } finally {
    over.abort();
  }
}

/** Never resolves; rejects when QEMU ends. */
async function untilDead(process: ProcessId, files: UpOptions["files"], over: AbortSignal): Promise<never> {
  while (isAlive(process)) {
    await sleep(ALIVE_POLL_MS);
    if (over.aborted) return await new Promise<never>(() => {});
  }
  throw await ended(files);
}

async function whyItFailed(error: unknown, process: ProcessId, files: UpOptions["files"]): Promise<never> {
  await sleep(ALIVE_POLL_MS); // a socket is closed a moment before the process is gone
  throw isAlive(process) ? error : await ended(files);
}

async function ended(files: UpOptions["files"]): Promise<GantryError> {
  const said = (await lastWords(files.log)) || (await lastWords(files.console)) || "it said nothing";
  return new GantryError("runtime-failed", `QEMU ended while the micro-VM was coming up: ${said}`, { kind: "system" });
}
