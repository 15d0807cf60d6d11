import type { PodSupervisor } from "../pod/contract.ts";

/** Stops every pod in its own grace and resolves when the last one is gone. */
export async function stopAllPods(supervisor: PodSupervisor, say: (line: string) => void): Promise<void> {
  const uids = supervisor.list().map(({ uid }) => uid);
  if (uids.length === 0) return;
  say(
    `stopping ${uids.length} pod${uids.length === 1 ? "" : "s"}, each in the grace of its manifest; stop once more to leave them running`,
  );
  const left = new Set(uids);
  await new Promise<void>((resolve) => {
    const unsubscribe = supervisor.subscribe((change) => {
      if (change.type !== "removed") return;
      left.delete(change.uid);
      if (left.size > 0) return;
      unsubscribe();
      resolve();
    });
    for (const uid of uids) supervisor.remove(uid);
  });
}
