/** The work of the pod as a whole: what the states of its machine do. */
import { readFile } from "node:fs/promises";
import type { ContainerConfig, ObservedSandbox, PreparedVolume } from "../../sandbox/driver.ts";
import type { ContainerFacts } from "../../store/contract.ts";
import { errnoOf, GantryError, isGantryError } from "../../system/errors.ts";
import { sandboxConfig } from "../config.ts";
import type { PodEnv, PodView } from "../machine/env.ts";
import { UNSCHEDULABLE } from "../rules/conditions.ts";
import { NO_CLUSTER, needsHostResolv, parseResolvConf } from "../rules/dns.ts";
import type { FactsByName } from "../rules/exits.ts";
import { firstSlots } from "../rules/first-containers.ts";
import { sandboxId } from "../rules/ids.ts";
import { madeFacts, reservedFacts } from "../rules/run-facts.ts";
import { type Slot, slotsOf } from "../rules/slots.ts";
import { configOf } from "./containers.ts";
import { imageUsed, requireImage } from "./image.ts";
import { prepareImageVolumes } from "./image-volumes.ts";
import { removeLogs } from "./logs.ts";
import { driverOf, logsOf, look, lookupOf, type PodScope, tell } from "./scope.ts";
import { as, explain, StepError } from "./step-error.ts";

/** Pods that this one is to be started after are not Ready yet. */
export const WAITING = "WaitingForDependencies";
/** The node has too little memory or disk to take another pod. */
export const UNDER_PRESSURE = "NodeUnderPressure";

/** Images (found and mounted) and volumes, side by side. @throws StepError */
export async function prepare(
  scope: PodScope,
  { desired, pod, facts }: PodView,
  signal: AbortSignal,
): Promise<readonly PreparedVolume[]> {
  scope.writer.save(pod, facts);
  // One that was taken once is not turned away again when it needs another sandbox.
  const pressure = pod.sandboxAttempt === 0 ? scope.ports.nodePressure?.(desired.pod) : undefined;
  if (pressure !== undefined) {
    tell(scope, desired, "Warning", UNDER_PRESSURE, pressure);
    throw new StepError(UNDER_PRESSURE, new GantryError("conflict", pressure));
  }
  const [images, mounted, volumes] = await Promise.allSettled([
    prepareImages(scope, desired, signal),
    prepareImageVolumes(scope, desired, signal),
    as("FailedMount", () => scope.ports.volumes.prepare(desired.pod, scope.uid, lookupOf(scope, desired), signal)),
  ]);
  if (images.status === "rejected") throw images.reason;
  if (mounted.status === "rejected") throw mounted.reason;
  if (volumes.status === "fulfilled") {
    // Last, so that everything else is ready by the time that the others are.
    const waits = scope.waitsFor(desired);
    if (waits === undefined) return [...volumes.value, ...mounted.value];
    tell(scope, desired, "Normal", WAITING, waits);
    throw new StepError(WAITING, new GantryError("conflict", waits));
  }
  const { reason } = volumes;
  if (isGantryError(reason, "cancelled")) throw reason;
  // Kubernetes finds no node for a pod without its claim: see pod/rules/conditions.ts.
  const cause: unknown = reason instanceof GantryError ? reason.cause : undefined;
  const unclaimed =
    isGantryError(cause, "config-missing", "conflict", "disk-full") && cause.details["claim"] !== undefined;
  tell(scope, desired, "Warning", unclaimed ? "FailedScheduling" : "FailedMount", explain(reason));
  throw unclaimed ? new StepError(UNSCHEDULABLE, cause) : reason;
}

async function prepareImages(scope: PodScope, desired: PodView["desired"], signal: AbortSignal): Promise<void> {
  const slots = slotsOf(desired);
  const failed = (name: string, error: unknown): void => {
    const reason = error instanceof StepError ? error.reason : "ErrImagePull";
    if (!isGantryError(error, "cancelled"))
      tell(scope, desired, "Warning", "Failed", `Error: ${reason}: container ${name}: ${explain(error)}`);
  };
  const results = await Promise.allSettled(
    slots.map(async ({ spec }) => {
      const { digest } = await requireImage(scope, desired, spec, signal);
      await as("ErrImagePull", () => scope.ports.images.rootfs(digest, signal)).catch((error: unknown) => {
        failed(spec.name, error);
        throw error;
      });
    }),
  );
  const containers: Record<string, { reason: string; message: string }> = {};
  let first: unknown;
  for (const [index, result] of results.entries()) {
    const name = slots[index]?.name;
    if (result.status === "fulfilled" || name === undefined) continue;
    const error: unknown = result.reason;
    first ??= error;
    const reason = error instanceof StepError ? error.reason : "ErrImagePull";
    containers[name] = { reason, message: explain(error) };
    // A pull says itself how it failed.
    if (reason === "InvalidImageName") failed(name, error);
  }
  if (first !== undefined)
    throw new StepError(first instanceof StepError ? first.reason : "ErrImagePull", first, { containers });
}

export async function runSandbox(
  scope: PodScope,
  view: PodView,
  volumes: readonly PreparedVolume[],
  signal: AbortSignal,
): ReturnType<PodEnv["runSandbox"]> {
  const { desired, pod } = view;
  const attempt = pod.sandboxAttempt - 1;
  try {
    scope.writer.savePod(pod);
    const { node } = scope.ports;
    const cluster = scope.ports.clusterNames?.() ?? NO_CLUSTER;
    const resolv = parseResolvConf(needsHostResolv(desired.pod, cluster) ? await hostResolv(scope) : "");
    const config = sandboxConfig({ desired, uid: scope.uid, attempt, volumes, node, resolv, cluster });
    const driver = driverOf(scope, desired);
    const first = await firstContainers(scope, view, config.id, signal);
    const begin = first.map((one) => one.config);
    return await scope.limiter.run(async () => {
      // From here on something may exist under these numbers.
      for (const { facts } of first) scope.writer.saveContainer(facts);
      const sandbox = await driver.runSandbox({ ...config, begin }, signal);
      return { sandbox, facts: { ...view.facts, ...recordCreated(scope, view, sandbox, first) } };
    }, signal);
  } catch (error) {
    if (isGantryError(error, "cancelled")) throw error;
    tell(scope, desired, "Warning", "FailedCreatePodSandBox", `Failed to create pod sandbox: ${explain(error)}`);
    await removeFailed(scope, desired, sandboxId(scope.uid, attempt), signal);
    throw new StepError("FailedCreatePodSandBox", error);
  }
}

/** A host need not have the file. */
async function hostResolv({ resolvConf }: PodScope): Promise<string> {
  return readFile(resolvConf, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  });
}

interface FirstContainer {
  readonly slot: Slot;
  readonly facts: ContainerFacts;
  readonly config: ContainerConfig;
}

/** One that can't be configured is left out: it has its turn, and its error, when the sandbox is there. */
async function firstContainers(
  scope: PodScope,
  view: PodView,
  id: string,
  signal: AbortSignal,
): Promise<FirstContainer[]> {
  const slots = firstSlots(view.desired, view.facts, scope.ports.clock.now());
  const made = await Promise.allSettled(
    slots.map(async (slot): Promise<FirstContainer> => {
      const facts = reservedFacts(scope.uid, slot, view.facts[slot.name]);
      return { slot, facts, config: await configOf(scope, view, slot, facts.attempt - 1, { id, ips: [] }, signal) };
    }),
  );
  return made.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
}

/** What was created only has to be started; a number under which nothing was made is free again. */
function recordCreated(
  scope: PodScope,
  { desired }: PodView,
  sandbox: ObservedSandbox,
  first: readonly FirstContainer[],
): FactsByName {
  const facts = first.flatMap(({ slot, facts: reserved, config }): ContainerFacts[] => {
    const created = sandbox.containers.some(({ id, state }) => id === config.id && state === "created");
    if (!created) return [];
    imageUsed(scope, slot.spec);
    tell(scope, desired, "Normal", "Created", `Created container: ${slot.name}`);
    const made = madeFacts(reserved, slot);
    scope.writer.saveContainer(made);
    return [made];
  });
  return Object.fromEntries(facts.map((one) => [one.name, one]));
}

/** The next try gets another number, so what is left of this one goes at once, if it can; else with the pod. */
async function removeFailed(
  scope: PodScope,
  desired: PodView["desired"],
  id: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await driverOf(scope, desired).removeSandbox(id, signal);
  } catch (error) {
    scope.ports.log.warn({ uid: scope.uid, sandbox: id, err: error }, "a half-built sandbox could not be removed yet");
  }
}

/** A call that neither ends nor heeds its abort must not keep a pod for ever. */
const QUIET_LIMIT_MS = 60_000;

/** Waits for work that was called off. */
async function quiet({ tracker, ports: { clock } }: PodScope): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = clock.setTimeout(resolve, QUIET_LIMIT_MS);
  await Promise.race([tracker.idle(), late]);
  clock.clearTimeout(timer);
}

export async function settle(scope: PodScope, { desired, known }: PodView): Promise<readonly ObservedSandbox[]> {
  await quiet(scope);
  try {
    return await look(scope, desired);
  } catch (error) {
    // No driver for its runtime class: then there is nothing of it either.
    if (isGantryError(error, "unsupported") && known.length === 0) return [];
    throw error;
  }
}

export async function stopSandboxes(
  scope: PodScope,
  view: PodView,
  signal: AbortSignal,
): Promise<readonly ObservedSandbox[]> {
  await quiet(scope);
  const driver = driverOf(scope, view.desired);
  await as("FailedKillPod", () => Promise.all(view.known.map(({ id }) => driver.stopSandbox(id, signal))));
  const left = await look(scope, view.desired);
  const alive = left.find(({ state }) => state === "ready");
  if (alive === undefined) return left;
  throw new StepError(
    "FailedKillPod",
    new GantryError("runtime-failed", `sandbox ${alive.id} still runs after it was stopped`, { kind: "system" }),
  );
}

export async function removeSandboxes(scope: PodScope, view: PodView, signal: AbortSignal): Promise<void> {
  // Once they are gone, nobody else can tell how their containers ended.
  scope.writer.save(view.pod, view.facts);
  if (view.known.length === 0) return;
  const driver = driverOf(scope, view.desired);
  await as("FailedKillPod", () => Promise.all(view.known.map(({ id }) => driver.removeSandbox(id, signal))));
}

export async function teardown(scope: PodScope, view: PodView, signal: AbortSignal): Promise<void> {
  await scope.limiter.run(async () => {
    if (view.known.length > 0) {
      const driver = driverOf(scope, view.desired);
      await as("FailedKillPod", () => Promise.all(view.known.map(({ id }) => driver.removeSandbox(id, signal))));
    }
    await as("FailedUnmount", () => scope.ports.volumes.remove(scope.uid, signal));
    await as("FailedKillPod", () => removeLogs(logsOf(scope, view.desired)));
    scope.writer.removePod();
  }, signal);
}
