/** The jobs that keep a pod tidy. */
import { join } from "node:path";
import type { Job, JobResult, PodView } from "../machine/env.ts";
import { ephemeralExcess, toMeasure } from "../rules/ephemeral.ts";
import { ephemeralUsage } from "./disk-usage.ts";
import { pruneLogs, readLogTail } from "./logs.ts";
import { removeSandboxes } from "./sandboxes.ts";
import { driverOf, logsOf, lookupOf, type PodScope } from "./scope.ts";

type Of<T extends Job["type"]> = Extract<Job, { readonly type: T }>;

export async function cleanup(
  scope: PodScope,
  job: Of<"cleanup">,
  view: PodView,
  signal: AbortSignal,
): Promise<JobResult> {
  // How they ended must be safe before the last trace of it goes.
  scope.writer.save(view.pod, view.facts);
  const driver = job.containers.length === 0 ? undefined : driverOf(scope, view.desired);
  for (const { sandboxId, container } of job.containers) await driver?.removeContainer(sandboxId, container.id, signal);
  const logs = logsOf(scope, view.desired);
  await Promise.all(Object.entries(job.keepLogsFrom).map(([name, keepFrom]) => pruneLogs(join(logs, name), keepFrom)));
  return { type: "cleaned", ids: job.containers.map(({ container }) => container.id), forgotten: job.forget };
}

export async function refresh(scope: PodScope, { desired }: PodView, signal: AbortSignal): Promise<JobResult> {
  await scope.ports.volumes.refresh(desired.pod, scope.uid, lookupOf(scope, desired), signal);
  return { type: "refreshed" };
}

export async function measure(scope: PodScope, { desired, known }: PodView): Promise<JobResult> {
  const measured = toMeasure(desired.pod);
  if (measured === undefined) return { type: "measured", over: undefined };
  const usage = await ephemeralUsage(scope, { desired, known }, measured, "bytes");
  return { type: "measured", over: ephemeralExcess(desired.pod, usage) };
}

/** Of a pod that was sent away for what it took: its layers and volumes go, so that there is room; its logs stay. */
export async function release(scope: PodScope, view: PodView, signal: AbortSignal): Promise<JobResult> {
  await removeSandboxes(scope, view, signal);
  await scope.ports.volumes.remove(scope.uid, signal);
  return { type: "released" };
}

export async function tail(job: Of<"tail">): Promise<JobResult> {
  return { type: "message", name: job.name, attempt: job.attempt, message: await readLogTail(job.logPath) };
}
