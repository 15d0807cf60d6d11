import { GantryError } from "../../system/errors.ts";
import type { ObservedContainer, StopOptions } from "../driver.ts";
import { signalNumber } from "../signals.ts";
import { isRefusal } from "./channel/push.ts";
import type { Context } from "./context.ts";
import { endVm } from "./death.ts";
import { sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import type { ControlRequest } from "./protocol/index.ts";
import type { SandboxRecord } from "./records.ts";
import { isRunning } from "./sandbox.ts";

const SIGKILL = 9;
const POLL_MS = 200;
const KILL_TIMEOUT_MS = 10_000;
/** How long an agent may take to pass a signal on, before its whole VM has to go. */
const ANSWER_TIMEOUT_MS = 10_000;

/** See SandboxDriver.stopContainer. */
export async function stopContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  stop: StopOptions,
  signal: AbortSignal,
): Promise<void> {
  const number = signalNumber(stop.stopSignal ?? "SIGTERM");
  // Whatever is to be done first is part of the grace.
  const graceEndsAt = ctx.clock.now() + stop.graceMs;
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record).catch(() => undefined);
  if (!sandbox || !isRunning(ctx, sandbox)) return;
  const container = await observeContainer(ctx, sandbox, id);
  if (container === undefined || isOver(container)) return;
  const polite = number === SIGKILL ? 0 : stop.graceMs;
  if (container.state === "running" && polite > 0) {
    const limit = Math.min(polite, ANSWER_TIMEOUT_MS);
    await ask(ctx, sandboxId, { type: "signal", body: { container: id, signal: number } }, limit, signal);
    if (await waitUntilDead(ctx, sandbox, id, graceEndsAt - ctx.clock.now(), signal)) return;
  }
  const heard = await ask(ctx, sandboxId, { type: "kill", body: { container: id } }, ANSWER_TIMEOUT_MS, signal);
  if (heard && (await waitUntilDead(ctx, sandbox, id, KILL_TIMEOUT_MS, signal))) return;
  if (!isRunning(ctx, sandbox)) return;
  // There is no other way to end what runs in it.
  await endVm(ctx, sandboxId, `the guest did not stop container ${container.name} when it was asked to`);
}

/** False when the agent does not answer in time, or its VM ends meanwhile. @throws GantryError cancelled; AgentRefusal */
async function ask(
  ctx: Context,
  sandboxId: string,
  request: ControlRequest,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    await ctx.machines.get(sandboxId).guest.request(request, AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]));
    return true;
  } catch (error) {
    if (signal.aborted || isRefusal(error)) throw error;
    return false;
  }
}

function isOver(container: ObservedContainer | undefined): boolean {
  return container === undefined || container.state === "exited" || container.state === "unknown";
}

/** @returns false when it is still alive after `timeoutMs`. @throws GantryError cancelled */
async function waitUntilDead(
  ctx: Context,
  sandbox: SandboxRecord,
  id: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  let wake = (): void => {};
  let expired = false;
  const unwatch = ctx.machines.watch((changed) => {
    if (changed === sandbox.config.id) wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  const timer = ctx.clock.setTimeout(() => {
    expired = true;
    wake();
  }, timeoutMs);
  try {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve; // before looking, so that no change is missed
      if (isOver(await observeContainer(ctx, sandbox, id))) return true;
      if (signal.aborted)
        throw new GantryError("cancelled", `stopping container ${id} was cancelled`, { kind: "system" });
      if (expired) return false;
      const poll = setTimeout(resolve, POLL_MS);
      await promise;
      clearTimeout(poll);
    }
  } finally {
    ctx.clock.clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    unwatch();
  }
}
