/** What the drivers report, by pod. */
import type { PodSupervisor } from "../pod/contract.ts";
import type { ObservedSandbox, SandboxDriver } from "../sandbox/driver.ts";
import { coalesce } from "./coalesce.ts";

type ByPod = Map<string, readonly ObservedSandbox[]>;

export interface Observer {
  /** By pod uid, newest sandbox first, as of the last look. */
  all(): ReadonlyMap<string, readonly ObservedSandbox[]>;
  /** Reads every driver and hands each machine what there is of its pod. */
  look(): Promise<void>;
  /** The same for the pod of one sandbox, about which a driver gave a hint. */
  lookAt(sandboxId: string): Promise<void>;
  /** That pod is gone with all its sandboxes. */
  removed(uid: string): void;
}

export function createObserver(drivers: readonly SandboxDriver[], supervisor: PodSupervisor): Observer {
  let sandboxes: ByPod = new Map();
  /** Pods that were removed since the last whole look began. */
  const gone = new Set<string>();
  /** What the next look is to look at. */
  let everything = false;
  const hinted = new Set<string>();

  const listAll = async (wanted?: (id: string) => boolean): Promise<ObservedSandbox[]> =>
    (await Promise.all(drivers.map((driver) => driver.list(wanted)))).flat();

  const lookAtAll = async (): Promise<void> => {
    const goneBefore = new Set(gone);
    const groups = groupByPod(await listAll());
    // What was removed during this look may still be in it; what a later look shows is really left over.
    for (const uid of gone) {
      if (goneBefore.has(uid)) gone.delete(uid);
      else groups.delete(uid);
    }
    sandboxes = groups;
    for (const { uid } of supervisor.list()) supervisor.observe(uid, groups.get(uid) ?? []);
  };

  const lookAtSome = async (ids: ReadonlySet<string>): Promise<void> => {
    const seen = await listAll((id) => ids.has(id));
    const before = [...sandboxes.values()].flat();
    const touched = new Set([...before.filter(({ id }) => ids.has(id)), ...seen].map(({ pod }) => pod.uid));
    const groups = groupByPod([...before.filter(({ id }) => !ids.has(id)), ...seen]);
    for (const uid of gone) groups.delete(uid);
    sandboxes = groups;
    for (const uid of touched) supervisor.observe(uid, groups.get(uid) ?? []);
  };

  const next = coalesce(async () => {
    const ids = everything ? undefined : new Set(hinted);
    everything = false;
    hinted.clear();
    await (ids === undefined ? lookAtAll() : lookAtSome(ids));
  });

  return {
    all: () => sandboxes,
    look() {
      everything = true;
      return next();
    },
    lookAt(sandboxId) {
      hinted.add(sandboxId);
      return next();
    },
    removed(uid) {
      gone.add(uid);
      sandboxes.delete(uid);
    },
  };
}

function groupByPod(sandboxes: readonly ObservedSandbox[]): Map<string, ObservedSandbox[]> {
  const groups = Map.groupBy(sandboxes, ({ pod }) => pod.uid);
  for (const group of groups.values()) group.sort((a, b) => b.attempt - a.attempt);
  return groups;
}
