/** Takes the steps of one pod, in order, as far as they can be taken now. */

import { acceptedText } from "../accepted.ts";
import type { PlanStep } from "../plan.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { StateStore } from "../store/contract.ts";
import type { NextImages } from "./next-images.ts";
import type { Outcome } from "./queue.ts";

export interface ExecutePorts {
  readonly supervisor: PodSupervisor;
  readonly images: NextImages;
  readonly store: StateStore;
  readonly newUid: () => string;
  readonly observed: (uid: string) => readonly ObservedSandbox[];
  /** Removes a pod that no machine drives: nothing is known of it but its sandboxes. */
  readonly removeUnmanaged: (uid: string) => Promise<void>;
}

/**
 * Removal takes its grace, so whatever follows a `remove-pod` is left to the next look, which the machine's
 * `removed` asks for.
 */
export async function execute(steps: readonly PlanStep[], ports: ExecutePorts): Promise<Outcome> {
  const { supervisor, store, observed } = ports;
  for (const step of steps) {
    switch (step.type) {
      case "ensure-images": {
        if (ports.images.missing(step).length === 0) break;
        const afterMs = ports.images.retryInMs(step.key);
        // What is on its way asks for the next look itself.
        return afterMs === undefined ? { type: "done" } : { type: "again", afterMs };
      }
      case "create-pod": {
        const uid = ports.newUid();
        store.accepted.put(uid, acceptedText(step.desired));
        supervisor.ensure(step.desired, uid, []);
        break;
      }
      case "adopt-pod":
      case "update-pod":
        store.accepted.put(step.uid, acceptedText(step.desired));
        supervisor.ensure(step.desired, step.uid, observed(step.uid));
        break;
      case "remove-pod":
        if (supervisor.get(step.uid) !== undefined) {
          supervisor.remove(step.uid);
          return { type: "done" };
        }
        await ports.removeUnmanaged(step.uid);
        break;
    }
  }
  return { type: "done" };
}
