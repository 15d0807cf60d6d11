import type { NewEvent, PodEvent, StateStore } from "../store/contract.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

export interface EventRecorder {
  record(event: NewEvent): void;
  watch(listener: (event: PodEvent) => void): () => void;
}

/** How many new events come between two prunings. */
const PRUNE_EVERY = 200;

/** Keeps events in the state store and tells those who watch. A full disk costs an event, never a pod. */
export function createEventRecorder(store: StateStore, log: Logger, keep: number): EventRecorder {
  const listeners = new Set<(event: PodEvent) => void>();
  let added = 0;
  return {
    record(event) {
      const level = event.type === "Warning" ? "warn" : "debug";
      log[level]({ object: event.object, reason: event.reason }, event.message);
      try {
        const kept = store.events.add(event);
        if (++added % PRUNE_EVERY === 0) store.events.prune(keep);
        for (const listener of listeners) listener(kept);
      } catch (error) {
        log.error({ reason: messageOf(error) }, "an event could not be kept");
      }
    },
    watch(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}
