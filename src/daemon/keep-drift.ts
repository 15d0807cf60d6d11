/** What was changed by hand of running pods (a pause, limits) is put back with each comparison, and told. */
import type { PodState } from "../pod/contract.ts";
import type { SandboxDriver } from "../sandbox/driver.ts";
import type { NewEvent } from "../store/contract.ts";
import type { Clock, TimerHandle } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface DriftParts {
  readonly drivers: readonly Pick<SandboxDriver, "mend">[];
  readonly pods: () => readonly PodState[];
  /** To the source that the pod is of, if any. */
  readonly tell: (pod: PodState, message: string) => void;
  readonly event: (event: NewEvent) => void;
  /** ms between two looks. */
  readonly intervalMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/** @returns ends it */
export function keepDrift(parts: DriftParts, signal: AbortSignal): () => void {
  const { drivers, clock, log } = parts;
  let timer: TimerHandle | undefined;
  /** As of the last look: what can't be put back is told once. */
  let told: ReadonlySet<string> = new Set();
  const round = async (): Promise<void> => {
    try {
      const all = await Promise.all(drivers.map((driver) => driver.mend?.() ?? []));
      const mended = all.flat().map((one) => ({ ...one, key: `${one.sandboxId} ${one.what}` }));
      for (const one of mended) if (!told.has(one.key)) report(one.sandboxId, one.what, parts);
      told = new Set(mended.map(({ key }) => key));
    } catch (error) {
      log.warn({ reason: messageOf(error) }, "what was changed by hand could not be looked for");
    }
    later();
  };
  const later = (): void => {
    if (!signal.aborted) timer = clock.setTimeout(() => void round(), parts.intervalMs);
  };
  later();
  return () => clock.clearTimeout(timer);
}

function report(sandboxId: string, what: string, { pods, tell, event, clock }: DriftParts): void {
  const pod = pods().find(({ sandbox }) => sandbox?.id === sandboxId);
  if (pod === undefined) return;
  const object = `Pod/${pod.desired.key}`;
  event({ object, podUid: pod.uid, type: "Warning", reason: "DriftCorrected", message: what, at: clock.now() });
  tell(pod, `pod ${pod.desired.key}, ${what}`);
}
