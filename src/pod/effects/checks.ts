/** Runs the probes and postStart hooks of one pod, beside its machine, and tells it what is new. */
import { hashOf } from "../../hash.ts";
import type { Probe } from "../../manifest/index.ts";
import type { ExecIn, HookAction, ProbeAction } from "../../probe/contract.ts";
import { GantryError, messageOf } from "../../system/errors.ts";
import type { DesiredPod } from "../contract.ts";
import type { CheckRunner, CheckTarget } from "../machine/env.ts";
import { hookAction, probeAction } from "../rules/actions.ts";
import type { Check, Finding } from "../rules/checks.ts";
import {
  counted,
  firstProbeAt,
  holdsAfter,
  isToBeTold,
  NO_RESULTS,
  nextProbeAt,
  type ProbeKind,
  verdictOf,
} from "../rules/probe.ts";
import { driverOf, type PodScope, tell } from "./scope.ts";

/** What a check works with that may be newer than the check: the latest target, the latest manifest. */
interface Subject {
  target: CheckTarget;
  desired: DesiredPod;
}

interface Running {
  readonly subject: Subject;
  readonly abort: AbortController;
}

export function openChecks(scope: PodScope, report: (finding: Finding) => void): CheckRunner {
  const running = new Map<string, Running>();
  const openedAt = scope.ports.clock.now();
  const begin = (check: Check, subject: Subject, signal: AbortSignal): Promise<void> =>
    check === "postStart"
      ? runPostStart(scope, subject, report, signal)
      : runProbe(scope, check, subject, subject.target.container.createdAt < openedAt, report, signal);

  return {
    watch(targets, desired) {
      const wanted = new Map(
        targets.flatMap((target) =>
          target.active.map((check) => [`${target.container.id} ${check}`, { target, check }]),
        ),
      );
      for (const [key, { abort }] of running) {
        if (wanted.has(key)) continue;
        running.delete(key);
        abort.abort();
      }
      for (const [key, { target, check }] of wanted) {
        const known = running.get(key);
        if (known !== undefined) {
          Object.assign(known.subject, { target, desired });
          continue;
        }
        const one = { subject: { target, desired }, abort: new AbortController() };
        running.set(key, one);
        begin(check, one.subject, one.abort.signal).catch((error: unknown) => {
          if (!one.abort.signal.aborted)
            scope.ports.log.error({ uid: scope.uid, check: key, err: error }, "a check broke");
        });
      }
    },
    close() {
      for (const { abort } of running.values()) abort.abort();
      running.clear();
    },
  };
}

/** "Killed if it fails" is up to the machine: here it is only found out. */
async function runPostStart(
  scope: PodScope,
  subject: Subject,
  report: (finding: Finding) => void,
  signal: AbortSignal,
): Promise<void> {
  const { slot, container } = subject.target;
  const finding = { containerId: container.id, name: slot.name, check: "postStart" } as const;
  try {
    const hook = slot.spec.lifecycle?.postStart;
    if (hook !== undefined) {
      const action = addressed(hookAction(hook, slot.spec, subject.target.ip ?? ""));
      await scope.ports.prober.runHook(action, execIn(scope, subject), signal);
    }
    report({ ...finding, result: "success", message: "" });
  } catch (error) {
    if (signal.aborted) return;
    const message = `PostStartHook failed: ${messageOf(error)}`;
    tell(scope, subject.desired, "Warning", "FailedPostStartHook", `Container ${slot.name}: ${message}`);
    report({ ...finding, result: "failure", message });
  }
}

async function runProbe(
  scope: PodScope,
  kind: ProbeKind,
  subject: Subject,
  adopted: boolean,
  report: (finding: Finding) => void,
  signal: AbortSignal,
): Promise<void> {
  const { clock } = scope.ports;
  const { container, slot, checks } = subject.target;
  const probe = probeOf(subject.target, kind);
  if (probe === undefined) return;
  const startedAt = container.startedAt ?? container.createdAt;
  const spread = adopted ? fraction(`${container.id} ${kind}`) : 0;
  let at = firstProbeAt({ probe, startedAt, now: clock.now(), spread });
  let tally = NO_RESULTS;
  let toldAt = Number.NEGATIVE_INFINITY;
  let said = kind === "readiness" ? (checks.ready ? "success" : "failure") : undefined;
  while (!signal.aborted) {
    await waitUntil(scope, at, signal);
    if (signal.aborted) return;
    const beganAt = clock.now();
    const outcome = await ask(scope, probe, subject, signal);
    if (signal.aborted) return;
    at = nextProbeAt(probe, beganAt, clock.now());
    if (outcome.result === "unknown") {
      if (beganAt - toldAt >= 60_000) {
        toldAt = beganAt;
        tellOf(scope, kind, subject, "Unhealthy", `probe errored and resulted in unknown state: ${outcome.message}`);
      }
      continue;
    }
    const result = outcome.result === "failure" ? "failure" : "success";
    tally = counted(tally, result);
    const bad = outcome.result !== "success";
    if (bad && isToBeTold(tally, probe.failureThreshold, beganAt - toldAt)) {
      toldAt = beganAt;
      if (result === "failure") tellOf(scope, kind, subject, "Unhealthy", `probe failed: ${outcome.message}`);
      else tellOf(scope, kind, subject, "ProbeWarning", `probe warning: ${outcome.message}`);
    }
    const verdict = verdictOf(tally, probe);
    if (verdict === undefined) continue;
    if (verdict !== said) {
      said = verdict;
      const message = `${kind} probe failed: ${outcome.message}`;
      report({ containerId: container.id, name: slot.name, check: kind, result: verdict, message });
    }
    if (holdsAfter(kind, verdict)) return;
  }
}

async function ask(
  scope: PodScope,
  probe: Probe,
  subject: Subject,
  signal: AbortSignal,
): ReturnType<PodScope["ports"]["prober"]["probe"]> {
  try {
    const { slot, ip = "" } = subject.target;
    const action = addressed(probeAction(probe, slot.spec, ip));
    return await scope.ports.prober.probe(action, probe.timeoutSeconds * 1000, execIn(scope, subject), signal);
  } catch (error) {
    return { result: "unknown", message: messageOf(error) };
  }
}

function probeOf({ slot: { spec } }: CheckTarget, kind: ProbeKind): Probe | undefined {
  switch (kind) {
    case "startup":
      return spec.startupProbe;
    case "readiness":
      return spec.readinessProbe;
    case "liveness":
      return spec.livenessProbe;
  }
}

/** @throws GantryError network-failed: what names no host can't be asked while the pod has no address */
function addressed<T extends ProbeAction | HookAction>(action: T): T {
  if (!("host" in action) || action.host !== "") return action;
  throw new GantryError("network-failed", "the pod has no address", { kind: "system" });
}

function execIn(scope: PodScope, { target, desired }: Subject): ExecIn {
  const driver = driverOf(scope, desired);
  return (command, signal) =>
    driver.exec(target.sandboxId, target.container.id, { command, tty: false, stdin: false }, signal);
}

function tellOf(scope: PodScope, kind: ProbeKind, { target, desired }: Subject, reason: string, message: string): void {
  const name = `${kind[0]?.toUpperCase()}${kind.slice(1)}`;
  const several = desired.pod.spec.containers.length + (desired.pod.spec.initContainers?.length ?? 0) > 1;
  const of = several ? ` (container ${target.slot.name})` : "";
  tell(scope, desired, "Warning", reason, `${name} ${message}${of}`);
}

/** From 0 to 1, the same for the same text. */
function fraction(text: string): number {
  return Number.parseInt(hashOf(text).slice(0, 8), 16) / 0x1_0000_0000;
}

async function waitUntil({ ports: { clock } }: PodScope, at: number, signal: AbortSignal): Promise<void> {
  const left = at - clock.now();
  if (left <= 0) return;
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = clock.setTimeout(resolve, left);
  const onAbort = (): void => {
    clock.clearTimeout(timer);
    resolve();
  };
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  await promise;
  signal.removeEventListener("abort", onAbort);
}
