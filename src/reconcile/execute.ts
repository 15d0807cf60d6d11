/** Takes the steps of one pod, in order, as far as they can be taken now. */

import { acceptedText } from "../accepted.ts";
import type { ImageStore } from "../image/contract.ts";
import type { PlanStep } from "../plan.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { StateStore } from "../store/contract.ts";
import type { Outcome } from "./queue.ts";

export interface ExecutePorts {
  readonly supervisor: PodSupervisor;
  readonly images: ImageStore;
  readonly store: StateStore;
  readonly newUid: () => string;
  readonly observed: (uid: string) => readonly ObservedSandbox[];
  /** Removes a pod that no machine drives: nothing is known of it but its sandboxes. */
  readonly removeUnmanaged: (uid: string) => Promise<void>;
  /** The next version of a running pod can't start: said once per change, in an event. */
  readonly onMissingImages: (step: PlanStep, images: readonly string[]) => void;
}

/** How long until missing images of a running pod's next version are looked for again; an import looks at once. */
const IMAGE_RETRY_MS = 10_000;

/**
 * Removal takes its grace, so whatever follows a `remove-pod` is left to the next look, which the machine's
 * `removed` asks for.
 */
export async function execute(steps: readonly PlanStep[], ports: ExecutePorts): Promise<Outcome> {
  const { supervisor, store, observed } = ports;
  for (const step of steps) {
    switch (step.type) {
      case "ensure-images": {
        const missing = await missingImages(step.images, ports.images);
        if (missing.length > 0) {
          ports.onMissingImages(step, missing);
          return { type: "again", afterMs: IMAGE_RETRY_MS };
        }
        break;
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

async function missingImages(names: readonly string[], images: ImageStore): Promise<string[]> {
  const held = await Promise.all(names.map(async (name) => ({ name, image: await images.resolve(name) })));
  return held.filter(({ image }) => image === undefined).map(({ name }) => name);
}
