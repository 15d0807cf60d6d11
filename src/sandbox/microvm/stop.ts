import { GantryError } from "../../system/errors.ts";
import type { ObservedContainer, StopOptions } from "../driver.ts";
import { signalNumber } from "../signals.ts";
import type { Context } from "./context.ts";
import { sandboxFiles } from "./dirs.ts";
import { observeContainer } from "./list.ts";
import type { SandboxRecord } from "./records.ts";
import { isRunning } from "./sandbox.ts";

const SIGKILL = 9;
const POLL_MS = 200;
const KILL_TIMEOUT_MS = 10_000;

/** See SandboxDriver.stopContainer. */
export async function stopContainer(
  ctx: Context,
  sandboxId: string,
  id: string,
  stop: StopOptions,
  signal: AbortSignal,
): Promise<void> {
  const number = signalNumber(stop.stopSignal ?? "SIGTERM");
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record).catch(() => undefined);
  if (!sandbox || !isRunning(ctx, sandbox)) return;
  const container = await observeContainer(ctx, sandbox, id);
  if (container === undefined || isOver(container)) return;
  const { guest } = ctx.machines.get(sandboxId);
  if (container.state === "running") {
    await guest.request({ type: "signal", body: { container: id, signal: number } }, signal);
    const polite = number === SIGKILL ? 0 : stop.graceMs;
    if (polite > 0 && (await waitUntilDead(ctx, sandbox, id, polite, signal))) return;
  }
  await guest.request({ type: "kill", body: { container: id } }, signal);
  if (await waitUntilDead(ctx, sandbox, id, KILL_TIMEOUT_MS, signal)) return;
  throw new GantryError("timeout", `container ${id} does not die`, {
    kind: "system",
    hint: "Its micro-VM is too busy or hangs; stopping the pod ends it.",
  });
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
