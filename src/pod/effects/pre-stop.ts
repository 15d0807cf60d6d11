/** The preStop hook of a container. Whatever becomes of it, the container is stopped afterwards. */
import type { ObservedContainer } from "../../sandbox/driver.ts";
import { isGantryError, messageOf } from "../../system/errors.ts";
import { PRE_STOP_LABEL } from "../labels.ts";
import type { Job, JobResult, PodView } from "../machine/env.ts";
import { parseHookLabel } from "../rules/actions.ts";
import { graceLeft } from "../rules/shutdown.ts";
import type { Placed } from "../rules/world.ts";
import { driverOf, type PodScope, podIp, tell } from "./scope.ts";

export async function preStop(
  scope: PodScope,
  job: Extract<Job, { readonly type: "preStop" }>,
  view: PodView,
  signal: AbortSignal,
): Promise<JobResult> {
  await runPreStop(scope, view, job.placed, job.limitMs, signal);
  return { type: "hooked", containerId: job.placed.container.id };
}

/** @returns what is left of the grace for the app itself, ms. @throws GantryError cancelled */
export async function preStopWithin(
  scope: PodScope,
  view: PodView,
  placed: Placed,
  graceMs: number,
  signal: AbortSignal,
): Promise<number> {
  if (graceMs <= 0 || !hasPreStop(placed.container)) return graceMs;
  const { clock } = scope.ports;
  const beganAt = clock.now();
  await runPreStop(scope, view, placed, graceMs, signal);
  return graceLeft(graceMs, clock.now() - beganAt);
}

function hasPreStop({ labels }: ObservedContainer): boolean {
  return labels[PRE_STOP_LABEL] !== undefined;
}

async function runPreStop(
  scope: PodScope,
  view: PodView,
  { sandboxId, container }: Placed,
  limitMs: number,
  signal: AbortSignal,
): Promise<void> {
  const sandbox = view.known.find(({ id }) => id === sandboxId);
  const ip = sandbox === undefined ? undefined : podIp(scope, view.desired, sandbox);
  const action = parseHookLabel(container.labels[PRE_STOP_LABEL], ip ?? "");
  if (action === undefined) return;
  const { clock, prober } = scope.ports;
  const over = new AbortController();
  const timer = clock.setTimeout(() => over.abort(), limitMs);
  try {
    const driver = driverOf(scope, view.desired);
    await prober.runHook(
      action,
      (command, own) => driver.exec(sandboxId, container.id, { command, tty: false, stdin: false }, own),
      AbortSignal.any([signal, over.signal]),
    );
  } catch (error) {
    if (signal.aborted) throw error;
    // It has ended by itself meanwhile: then there is nothing to prepare it for.
    if (isGantryError(error) && error.details["reason"] === "NotRunning") return;
    const why = over.signal.aborted ? `it did not end within its grace of ${limitMs / 1000} s` : messageOf(error);
    tell(
      scope,
      view.desired,
      "Warning",
      "FailedPreStopHook",
      `Container ${container.name}: PreStopHook failed: ${why}`,
    );
  } finally {
    clock.clearTimeout(timer);
  }
}
