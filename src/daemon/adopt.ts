import { parseAccepted } from "../accepted.ts";
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox } from "../sandbox/driver.ts";
import type { StateStore } from "../store/contract.ts";
import { messageOf } from "../system/errors.ts";
import type { Logger } from "../system/log.ts";

/**
 * Takes over every pod that the last daemon drove, by the manifest it ran by, before any source is read: nothing
 * goes unwatched while a folder is slow or gone. Whether it is still wanted is for the reconciler to say afterwards.
 */
export function adoptPods(
  store: StateStore,
  supervisor: PodSupervisor,
  observed: ReadonlyMap<string, readonly ObservedSandbox[]>,
  log: Logger,
): void {
  const facts = new Map(store.pods.list().map((pod) => [pod.uid, pod]));
  for (const { uid, text } of store.accepted.list()) {
    try {
      const desired = parseAccepted(text);
      supervisor.ensure(desired, uid, observed.get(uid) ?? []);
      const deadline = facts.get(uid)?.deletionDeadline;
      if (deadline !== undefined) supervisor.remove(uid);
    } catch (error) {
      // Its sandboxes are still observed: the reconciler adopts them by their manifest, or removes them.
      log.warn({ uid, reason: messageOf(error) }, "the stored manifest of a pod can't be read; it is left out");
      store.accepted.remove(uid);
    }
  }
  const known = new Set(store.accepted.list().map(({ uid }) => uid));
  for (const uid of facts.keys()) {
    if (!known.has(uid) && !observed.has(uid)) store.pods.remove(uid);
  }
}
