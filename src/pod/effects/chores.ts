/** The jobs that keep a pod tidy. */
import { join } from "node:path";
import type { Job, JobResult, PodView } from "../machine/env.ts";
import { pruneLogs, readLogTail } from "./logs.ts";
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
  const sandbox = known.find(({ state }) => state === "ready");
  const elsewhere = sandbox && (await driverOf(scope, desired).volumeUsage(sandbox.id));
  const [first] = await scope.ports.volumes.overLimit(desired.pod, scope.uid, elsewhere);
  const over =
    first &&
    `Usage of EmptyDir volume "${first.volume}" exceeds the limit: ${first.usedBytes} of ${first.limitBytes} bytes.`;
  return { type: "measured", over };
}

export async function tail(job: Of<"tail">): Promise<JobResult> {
  return { type: "message", name: job.name, attempt: job.attempt, message: await readLogTail(job.logPath) };
}
