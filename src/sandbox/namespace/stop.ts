import { GantryError } from "../../system/errors.ts";
import { killCgroup, thaw } from "../cgroup/cgroup.ts";
import type { ObservedContainer, StopOptions } from "../driver.ts";
import { signalNumber } from "../signals.ts";
import type { Context } from "./context.ts";
import { podCgroup, sandboxFiles } from "./dirs.ts";
import type { ExitWatcher } from "./exits.ts";
import { observeContainer } from "./list.ts";
import { sendSignal } from "./proc.ts";
import type { SandboxRecord } from "./records.ts";

const SIGKILL = 9;
const POLL_MS = 100;
/** How long a killed process may take to be gone before we call it stuck. */
const KILL_TIMEOUT_MS = 10_000;

/** See SandboxDriver.stopContainer. */
export async function stopContainer(
  ctx: Context,
  exits: ExitWatcher,
  sandboxId: string,
  id: string,
  stop: StopOptions,
  signal: AbortSignal,
): Promise<void> {
  const number = signalNumber(stop.stopSignal ?? "SIGTERM");
  const graceEndsAt = ctx.clock.now() + stop.graceMs;
  const sandbox = await ctx.records.sandbox(sandboxFiles(ctx.dirs, sandboxId).record).catch(() => undefined);
  if (!sandbox || sandbox.bootId !== ctx.bootId) return;
  const cgroup = `${podCgroup(ctx.dirs, sandbox.config.pod.uid)}/${id}`;
  const container = await observeContainer(ctx, sandbox, id);
  if (container?.state === "running" && container.pid !== undefined) {
    thaw(ctx.cgroups, cgroup);
    sendSignal(container.pid, number);
    const polite = number === SIGKILL ? 0 : stop.graceMs;
    if (polite > 0) await waitUntilDead(ctx, exits, sandbox, id, graceEndsAt - ctx.clock.now(), signal);
  }
  if (container === undefined) return;
  // Also after a polite end: with a shared pid namespace its children live on.
  await killCgroup(ctx.cgroups, cgroup, KILL_TIMEOUT_MS);
  if (await waitUntilDead(ctx, exits, sandbox, id, KILL_TIMEOUT_MS, signal)) return;
  throw new GantryError("timeout", `container ${id} does not die`, {
    kind: "system",
    hint: "Its processes hang in the kernel; see 'ps -o pid,stat,wchan,cmd'.",
  });
}

const isOver = (container: ObservedContainer | undefined): boolean =>
  container === undefined || container.state === "exited" || container.state === "unknown";

/** @returns false when it is still alive after `timeoutMs`. @throws GantryError cancelled */
async function waitUntilDead(
  ctx: Context,
  exits: ExitWatcher,
  sandbox: SandboxRecord,
  id: string,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  let wake = (): void => {};
  let expired = false;
  const unsubscribe = exits.subscribe((ended) => {
    if (ended === id) wake();
  });
  const onAbort = (): void => wake();
  signal.addEventListener("abort", onAbort);
  const timer = ctx.clock.setTimeout(() => {
    expired = true;
    wake();
  }, timeoutMs);
  try {
    for (;;) {
      if (isOver(await observeContainer(ctx, sandbox, id))) return true;
      if (signal.aborted)
        throw new GantryError("cancelled", `stopping container ${id} was cancelled`, { kind: "system" });
      if (expired) return false;
      const { promise, resolve } = Promise.withResolvers<void>();
      wake = resolve;
      const poll = setTimeout(resolve, POLL_MS);
      await promise;
      clearTimeout(poll);
    }
  } finally {
    ctx.clock.clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    unsubscribe();
  }
}
