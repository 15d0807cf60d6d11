/** The jobs on containers. */
import type { ContainerConfig, ObservedContainer, SandboxDriver } from "../../sandbox/driver.ts";
import type { ContainerFacts } from "../../store/contract.ts";
import { isGantryError } from "../../system/errors.ts";
import { containerConfig } from "../config.ts";
import { STOP_SIGNAL_LABEL } from "../labels.ts";
import type { Job, JobResult, PodView } from "../machine/env.ts";
import { NO_CLUSTER } from "../rules/dns.ts";
import { madeFacts } from "../rules/run-facts.ts";
import { confinementWish } from "../rules/security.ts";
import type { Slot } from "../rules/slots.ts";
import type { Placed } from "../rules/world.ts";
import { imageUsed, requireImage } from "./image.ts";
import { preStopWithin } from "./pre-stop.ts";
import { driverOf, lookupOf, type PodScope, tell } from "./scope.ts";
import { as, explain, StepError } from "./step-error.ts";

type Of<T extends Job["type"]> = Extract<Job, { readonly type: T }>;
type Report = (facts: ContainerFacts) => void;

export async function start(
  scope: PodScope,
  job: Of<"start">,
  view: PodView,
  report: Report,
  signal: AbortSignal,
): Promise<JobResult> {
  const { slot, sandbox, discard } = job;
  const config = await configOf(scope, view, slot, job.facts.attempt - 1, sandbox, signal);
  imageUsed(scope, slot.spec);
  const driver = driverOf(scope, view.desired);
  return scope.limiter.run(async () => {
    // From here on something may exist under this number.
    await as("CreateContainerError", () => scope.writer.saveContainer(job.facts));
    for (const { sandboxId, container } of discard) {
      await as("CreateContainerError", () => driver.removeContainer(sandboxId, container.id, signal));
    }
    const facts = madeFacts(job.facts, slot);
    try {
      await driver.createContainer(sandbox.id, config, signal);
    } catch (error) {
      // An OCI runtime looks for the command already now; it is a run that failed all the same.
      if (!isStartError(error)) throw new StepError("CreateContainerError", error);
      await noteRun(scope, facts, report);
      throw notStarted(error, config);
    }
    tell(scope, view.desired, "Normal", "Created", `Created container: ${slot.name}`);
    await startCreated(scope, view, { driver, sandboxId: sandbox.id, slot, facts, made: config }, report, signal);
    return {
      type: "started",
      name: slot.name,
      sandboxId: sandbox.id,
      container: runningContainer(config, scope.ports.clock.now()),
    };
  }, signal);
}

export async function resume(
  scope: PodScope,
  job: Of<"resume">,
  view: PodView,
  report: Report,
  signal: AbortSignal,
): Promise<JobResult> {
  const { slot, sandbox, container } = job;
  const driver = driverOf(scope, view.desired);
  await scope.limiter.run(
    () =>
      startCreated(
        scope,
        view,
        { driver, sandboxId: sandbox.id, slot, facts: job.facts, made: container },
        report,
        signal,
      ),
    signal,
  );
  return {
    type: "started",
    name: slot.name,
    sandboxId: sandbox.id,
    container: { ...container, state: "running", startedAt: scope.ports.clock.now() },
  };
}

interface Starting {
  readonly driver: SandboxDriver;
  readonly sandboxId: string;
  readonly slot: Slot;
  readonly facts: ContainerFacts;
  readonly made: Pick<ContainerConfig, "id" | "logPath" | "imageDigest">;
}

/** The facts say "started" before it is: a run that was started and lost must never be taken for one that never was. */
async function startCreated(
  scope: PodScope,
  view: PodView,
  starting: Starting,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const { driver, sandboxId, slot, facts, made } = starting;
  signal.throwIfAborted();
  await noteRun(scope, facts, report);
  try {
    await driver.startContainer(sandboxId, made.id, signal);
  } catch (error) {
    throw notStarted(error, made);
  }
  tell(scope, view.desired, "Normal", "Started", `Started container ${slot.name}`);
}

function noteRun(scope: PodScope, facts: ContainerFacts, report: Report): Promise<void> {
  return as("CreateContainerError", () => {
    scope.writer.saveContainer(facts);
    report(facts);
  });
}

function isStartError(error: unknown): boolean {
  return isGantryError(error, "runtime-failed") && error.details["reason"] === "StartError";
}

/** A run that came to nothing, unless it was called off. */
function notStarted(error: unknown, { id, logPath, imageDigest }: Starting["made"]): StepError {
  const startError = { containerId: id, logPath, imageDigest };
  return new StepError("RunContainerError", error, isGantryError(error, "cancelled") ? {} : { startError });
}

/** Only once the successor's image and configuration are there does the old one go. */
export async function replace(
  scope: PodScope,
  job: Of<"replace">,
  view: PodView,
  signal: AbortSignal,
): Promise<JobResult> {
  const { slot, placed, sandbox } = job;
  await configOf(scope, view, slot, job.placed.container.attempt + 1, sandbox, signal);
  tell(
    scope,
    view.desired,
    "Normal",
    "Killing",
    `Container ${slot.name} is to be restarted: its definition changed, or a restart was asked for`,
  );
  const graceMs = await preStopWithin(scope, view, placed, job.graceMs, signal);
  return end(scope, view, placed, graceMs, signal);
}

export async function stop(scope: PodScope, job: Of<"stop">, view: PodView, signal: AbortSignal): Promise<JobResult> {
  const { placed } = job;
  tell(scope, view.desired, "Normal", "Killing", job.why ?? `Stopping container ${placed.container.name}`);
  const graceMs = job.preStop ? await preStopWithin(scope, view, placed, job.graceMs, signal) : job.graceMs;
  return end(scope, view, placed, graceMs, signal);
}

async function end(
  scope: PodScope,
  view: PodView,
  { sandboxId, container }: Placed,
  graceMs: number,
  signal: AbortSignal,
): Promise<JobResult> {
  const stopSignal = container.labels[STOP_SIGNAL_LABEL];
  const options = { graceMs, ...(stopSignal === undefined ? {} : { stopSignal }) };
  await as("FailedKillContainer", () =>
    driverOf(scope, view.desired).stopContainer(sandboxId, container.id, options, signal),
  );
  return { type: "stopped", name: container.name, containerId: container.id };
}

/** @throws StepError CreateContainerConfigError, or why there is no image */
export async function configOf(
  scope: PodScope,
  view: PodView,
  slot: Slot,
  attempt: number,
  sandbox: { readonly id: string; readonly ips: readonly string[] },
  signal: AbortSignal,
): Promise<ContainerConfig> {
  const { desired } = view;
  const image = await requireImage(scope, desired, slot.spec, signal);
  const { node, podLogs, confiner } = scope.ports;
  const lookup = lookupOf(scope, desired);
  const { namespace } = desired.pod.metadata;
  return as("CreateContainerConfigError", async () =>
    containerConfig({
      desired,
      uid: scope.uid,
      slot,
      attempt,
      sandboxId: sandbox.id,
      ips: sandbox.ips,
      image,
      node,
      podLogs,
      cluster: scope.ports.clusterNames?.() ?? NO_CLUSTER,
      links: scope.ports.serviceLinks?.(namespace) ?? [],
      confinement: await confiner.find(confinementWish(desired.pod, slot.spec), signal),
      ...lookup,
    }),
  );
}

function runningContainer(config: ContainerConfig, now: number): ObservedContainer {
  const { id, name, attempt, specHash, labels, imageDigest, imageName, logPath } = config;
  return {
    id,
    name,
    attempt,
    specHash,
    labels,
    imageDigest,
    imageName,
    logPath,
    state: "running",
    createdAt: now,
    startedAt: now,
  };
}

/** What `describe` shows of a container that could not be made or started. */
export function failureEvent(
  job: Job,
  error: unknown,
): { readonly reason: string; readonly message: string } | undefined {
  if (isGantryError(error, "cancelled")) return undefined;
  switch (job.type) {
    case "start":
    case "resume":
    case "replace":
      return { reason: "Failed", message: `Error: container ${job.slot.name}: ${explain(error)}` };
    case "stop":
      return { reason: "FailedKillPod", message: `Error: container ${job.placed.container.name}: ${explain(error)}` };
    case "preStop":
    case "cleanup":
    case "look":
    case "refresh":
    case "usage":
    case "release":
    case "tail":
      return undefined;
  }
}
