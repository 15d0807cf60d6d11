import type { PodSupervisor } from "../pod/contract.ts";
import { UNSCHEDULABLE } from "../pod/rules/conditions.ts";
import type { Reconciler } from "../reconcile/index.ts";
import type { NewEvent } from "../store/contract.ts";
import type { Clock } from "../system/clock.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";
import type { ClaimVolumes } from "../volume/index.ts";

export interface ClaimParts {
  readonly volumes: ClaimVolumes;
  readonly reconciler: Pick<Reconciler, "claims" | "watchObjects">;
  readonly supervisor: Pick<PodSupervisor, "subscribe" | "list" | "configChanged">;
  readonly event: (event: NewEvent) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * Lets volumes follow their claims: whenever what is wanted changes, or a pod is gone. @returns a function that ends it,
 * once the round that goes on is over
 */
export function keepClaims(parts: ClaimParts, signal: AbortSignal): () => Promise<void> {
  const { reconciler, supervisor, volumes, clock, log } = parts;
  let current: Promise<void> | undefined;
  let again = false;
  let ended = false;
  const round = async (): Promise<void> => {
    do {
      again = false;
      const wanted = reconciler.claims();
      if (wanted === undefined) return; // a source can't be trusted: nothing is taken for gone
      try {
        for (const note of await volumes.reconcile(wanted, signal)) parts.event(eventOf(note, clock.now()));
      } catch (error) {
        if (!signal.aborted) log.warn({ reason: messageOf(error) }, "the volumes could not be brought up to date");
      }
    } while (again && !ended);
  };
  const look = (): void => {
    again = true;
    if (ended || current !== undefined) return;
    current = round().finally(() => {
      current = undefined;
    });
  };
  const stops = [
    reconciler.watchObjects(look),
    supervisor.subscribe(({ type }) => {
      if (type !== "removed") return;
      look();
      // It may have had what another one waits for.
      for (const { uid, problem } of supervisor.list())
        if (problem?.reason === UNSCHEDULABLE) supervisor.configChanged(uid);
    }),
  ];
  look();
  return async () => {
    ended = true;
    for (const stop of stops) stop();
    await current;
  };
}

function eventOf(note: Awaited<ReturnType<ClaimVolumes["reconcile"]>>[number], at: number): NewEvent {
  const { namespace, name, type, reason, message } = note;
  return { object: `PersistentVolumeClaim/${namespace}/${name}`, podUid: undefined, type, reason, message, at };
}
